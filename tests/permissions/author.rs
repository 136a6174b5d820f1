//! Somebody who writes tasks: by name alone, with the rights that a test gives, and never more than a dry run.

use k8s_openapi::api::authorization::v1::{SelfSubjectRulesReview, SelfSubjectRulesReviewSpec};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::GroupVersionKind;
use kube::{Api, Client, Config, Error};
use punching_fist_e2e::{Failure, until};
use punching_fist_testkit::Ground;
use serde_json::{Value, json};

use crate::{resource_of, rule, spec_of};

/// Somebody who writes tasks in one namespace.
pub struct Author {
    client: Client,
    admin: Client,
    pub name: String,
    pub namespace: String,
}

impl Author {
    /// A user who may write tasks of both kinds in the namespace, and has no other right.
    pub async fn in_namespace(ground: &Ground, name: &str, namespace: &str) -> Result<Self, Failure> {
        let author = Self::named(ground, name, namespace).await?;
        let verbs = ["create", "update", "patch", "get"];
        let rules = ["alerttasks", "maintenancetasks"];
        author
            .grant(namespace, rules.map(|tasks| rule("punching-fist.io", tasks, &[], &verbs)).as_ref())
            .await?;
        for kind in crate::KINDS {
            author.succeeds("may write tasks", async || author.create(kind, &json!({})).await).await?;
        }
        Ok(author)
    }

    /// Whoever is called so, with the rights that they have.
    pub async fn named(ground: &Ground, name: &str, namespace: &str) -> Result<Self, Failure> {
        let mut kubeconfig = Kubeconfig::read_from(ground.kubeconfig())?;
        for user in kubeconfig.auth_infos.iter_mut().filter_map(|user| user.auth_info.as_mut()) {
            user.impersonate = Some(name.to_owned());
        }
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        Ok(Self {
            client: Client::try_from(config)?,
            admin: ground.client(),
            name: name.to_owned(),
            namespace: namespace.to_owned(),
        })
    }

    /// Gives them these rights in a namespace.
    pub async fn grant(&self, namespace: &str, rules: &[Value]) -> Result<(), Failure> {
        let metadata = json!({ "generateName": "granted-" });
        let role: Role = serde_json::from_value(json!({ "metadata": metadata, "rules": rules }))?;
        let api: Api<Role> = Api::namespaced(self.admin.clone(), namespace);
        let role = api.create(&PostParams::default(), &role).await?;
        let binding: RoleBinding = serde_json::from_value(json!({
            "metadata": metadata,
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role.metadata.name },
            "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": self.name }],
        }))?;
        let api: Api<RoleBinding> = Api::namespaced(self.admin.clone(), namespace);
        api.create(&PostParams::default(), &binding).await?;
        Ok(())
    }

    /// Tries to make a task with this in its spec: the refusal, if there is one.
    pub async fn create(&self, kind: &str, more: &Value) -> Result<(), String> {
        let task = task(kind, "tried", more);
        let params = PostParams { dry_run: true, ..PostParams::default() };
        refusal(self.tasks(&self.client, kind).create(&params, &task).await)
    }

    /// Tries to change a task: the refusal, if there is one.
    pub async fn patch(&self, kind: &str, name: &str, patch: &Value) -> Result<(), String> {
        let params = PatchParams { dry_run: true, ..PatchParams::default() };
        refusal(self.tasks(&self.client, kind).patch(name, &params, &Patch::Merge(patch)).await)
    }

    /// Tries to change a task's status: the refusal, if there is one.
    pub async fn patch_status(&self, kind: &str, name: &str, status: &Value) -> Result<(), String> {
        let params = PatchParams { dry_run: true, ..PatchParams::default() };
        let patch = Patch::Merge(json!({ "status": status }));
        refusal(self.tasks(&self.client, kind).patch_status(name, &params, &patch).await)
    }

    /// Writes a task's status with all rights.
    pub async fn given_status(&self, kind: &str, name: &str, status: &Value) -> Result<(), Failure> {
        let patch = Patch::Merge(json!({ "status": status }));
        self.tasks(&self.admin, kind).patch_status(name, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// Makes a task in their namespace with all rights.
    pub async fn given(&self, kind: &str, name: &str, more: &Value) -> Result<(), Failure> {
        let tasks = self.tasks(&self.admin, kind);
        tasks.create(&PostParams::default(), &task(kind, name, more)).await?;
        Ok(())
    }

    /// Waits until `attempt` isn't refused any more: RBAC takes a moment to hear of a new Role.
    pub async fn succeeds<F>(&self, what: &str, mut attempt: F) -> Result<(), Failure>
    where
        F: AsyncFnMut() -> Result<(), String>,
    {
        let mut last = String::new();
        let look = async || attempt().await.map_err(|refusal| last = refusal).ok();
        let late = until(&format!("{}: {what}", self.name), look).await;
        late.map_err(|late| format!("{late}: {last}").into())
    }

    /// Every right that they have in a namespace by RBAC, as `group resource verb`, without what everybody has.
    pub async fn rights(&self, namespace: &str) -> Result<Vec<String>, Failure> {
        let spec = SelfSubjectRulesReviewSpec { namespace: Some(namespace.to_owned()) };
        let review = SelfSubjectRulesReview { spec, ..SelfSubjectRulesReview::default() };
        let api: Api<SelfSubjectRulesReview> = Api::all(self.client.clone());
        let status = api.create(&PostParams::default(), &review).await?.status.ok_or("no answer")?;
        let mut rights = Vec::new();
        for rule in status.resource_rules {
            let groups = rule.api_groups.unwrap_or_default();
            if groups.iter().any(|group| group == "authorization.k8s.io" || group == "authentication.k8s.io")
            {
                continue;
            }
            for group in groups {
                for resource in rule.resources.iter().flatten() {
                    rights.extend(rule.verbs.iter().map(|verb| format!("{group} {resource} {verb}")));
                }
            }
        }
        rights.sort();
        rights.dedup();
        Ok(rights)
    }

    fn tasks(&self, client: &Client, kind: &str) -> Api<DynamicObject> {
        let gvk = GroupVersionKind::gvk("punching-fist.io", "v1alpha1", kind);
        let resource = ApiResource::from_gvk_with_plural(&gvk, &resource_of(kind));
        Api::namespaced_with(client.clone(), &self.namespace, &resource)
    }
}

fn task(kind: &str, name: &str, more: &Value) -> DynamicObject {
    let gvk = GroupVersionKind::gvk("punching-fist.io", "v1alpha1", kind);
    let resource = ApiResource::from_gvk_with_plural(&gvk, &resource_of(kind));
    DynamicObject::new(name, &resource).data(json!({ "spec": spec_of(kind, more) }))
}

fn refusal(answer: Result<DynamicObject, Error>) -> Result<(), String> {
    match answer {
        Ok(_) => Ok(()),
        Err(Error::Api(status)) if status.is_forbidden() => Err(status.message),
        Err(error) => Err(format!("not a refusal: {error}")),
    }
}
