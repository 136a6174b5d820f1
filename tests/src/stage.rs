//! The stage of a test program: its ground, its operators, and one runtime for all of its tests. Processes and
//! connections belong to a runtime, and that of a `#[tokio::test]` would end with its test.

use std::any::Any;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};

use futures::FutureExt as _;
use kube::Client;
use punching_fist_protocol::causes;
use punching_fist_testkit::operator::Settings;
use punching_fist_testkit::scripted_model::{Behaviour, ScriptedModel};
use punching_fist_testkit::{Ground, images, namespaces, wait};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::replica::Replica;
use crate::service::Service;
use crate::{Failure, Outcome, RUNTIME, Space, directory};

/// The image whose program is this package's `shell-agent`.
pub const SHELL_AGENT: &str = "shell-agent";
/// Profiles of the real agent, and how the model of each behaves.
const OPENHANDS: [(&str, Behaviour); 2] =
    [("sdk", Behaviour::Investigate), ("sdk-refused", Behaviour::Unauthorized)];

/// Asks the model once, as an engine does. Every pod of the shell agent finds it on its PATH.
const ASK_MODEL: &str = include_str!("ask_model.sh");

/// What a stage is made of.
pub struct Plan {
    /// The program `shell-agent`: only a test program knows where cargo has put it.
    pub shell_agent: &'static str,
    /// Whether the agent around the OpenHands SDK is there, as profile `sdk`, and with a model that refuses its key as
    /// profile `sdk-refused`.
    pub openhands: bool,
    /// More profiles, each with a model of its own.
    pub models: Vec<Scripted>,
    /// The operator's replicas.
    pub replicas: Vec<Settings>,
}

/// An agent profile and the model behind it, which [`World::model`] gives.
pub struct Scripted {
    /// The profile's name.
    pub profile: &'static str,
    /// How the model behaves at first.
    pub behaviour: Behaviour,
    /// What else the profile says, or says differently.
    pub more: Value,
}

impl Scripted {
    /// Whether it takes the images of the engines `cli` and `main`.
    fn is_another_engine(&self) -> bool {
        [images::CLI, images::MAIN].iter().any(|image| self.more["image"] == *image)
    }
}

/// One for each test program; the first test that runs sets it up.
pub struct Stage {
    plan: fn() -> Plan,
    world: OnceCell<Result<World, String>>,
}

/// A ground with operators on it.
pub struct World {
    ground: Ground,
    /// The plan's agent profiles, as a configuration says them.
    profiles: Value,
    replicas: Vec<Replica>,
    /// By profile. They answer for as long as they are held.
    models: BTreeMap<&'static str, ScriptedModel>,
}

impl Stage {
    /// A stage to be set up by this plan.
    pub const fn new(plan: fn() -> Plan) -> Self {
        Self { plan, world: OnceCell::const_new() }
    }

    /// Runs `test` in a namespace of its own, called `name`, which is prepared for agents.
    ///
    /// # Panics
    /// When the test fails, or when an operator was forbidden anything; then all that is known is printed.
    pub fn play<F>(&'static self, name: &str, test: F)
    where
        F: AsyncFnOnce(Space) -> Outcome,
    {
        RUNTIME.block_on(async {
            let world = self.world().await;
            world.ground.prepare_namespace(name).await.unwrap_or_else(|error| panic!("{error}"));
            world.watched(Space::new(world, name, ""), test).await;
        });
    }

    /// The same where agents reach the gateways of all replicas through `service`.
    ///
    /// # Panics
    /// As [`Self::play`].
    pub fn play_behind<F>(&'static self, service: &Service, name: &str, test: F)
    where
        F: AsyncFnOnce(Space) -> Outcome,
    {
        self.play(name, async |space| {
            service.leads_to(space.world().replicas().iter().map(Replica::gateway));
            test(space).await
        });
    }

    /// Runs `test` in the namespace of the default route, where its objects are called `name` and something.
    ///
    /// # Panics
    /// As [`Self::play`].
    pub fn play_alerts<F>(&'static self, name: &str, test: F)
    where
        F: AsyncFnOnce(Space) -> Outcome,
    {
        RUNTIME.block_on(async {
            let world = self.world().await;
            world.watched(Space::new(world, namespaces::AGENTS, name), test).await;
        });
    }

    async fn world(&'static self) -> &'static World {
        let set_up = || async { World::set_up((self.plan)()).await.map_err(|error| error.to_string()) };
        match self.world.get_or_init(set_up).await {
            Ok(world) => world,
            Err(error) => panic!("the stage can't be set up: {error}"),
        }
    }
}

impl World {
    async fn set_up(plan: Plan) -> Result<Self, Failure> {
        let real = OPENHANDS.into_iter().filter(|_| plan.openhands).map(|(profile, behaviour)| Scripted {
            profile,
            behaviour,
            more: json!({ "image": images::AGENT }),
        });
        let directory = directory();
        let image = shell_agent(&directory, plan.shell_agent)?;
        let ground = Ground::builder().directory(&directory).agent(plan.openhands).image(SHELL_AGENT, &image);
        let ground = ground.engines(plan.models.iter().any(Scripted::is_another_engine));
        // The shell agent needs no model; its pods have the key's Secret as those have that don't use the gateway.
        let ground = ground.model_key(Some("scripted"));
        let ground = ground.start().await?;
        // Whatever runs in a test's world has to be admitted: the ground's own namespaces are so already.
        namespaces::restrict(&ground.client(), "default").await?;
        symlink(ground.kubectl(), image.join("kubectl"))?;
        let (mut models, mut profiles) = (BTreeMap::new(), json!({}));
        for Scripted { profile, behaviour, more } in plan.models.into_iter().chain(real) {
            let model = ScriptedModel::start(behaviour).await?;
            profiles[profile] = model.profile();
            for (key, value) in more.as_object().into_iter().flatten() {
                profiles[profile][key] = value.clone();
            }
            models.insert(profile, model);
        }
        let mut world = Self { ground, profiles, replicas: Vec::new(), models };
        for settings in plan.replicas {
            let replica = world.start(settings).await?;
            world.replicas.push(replica);
        }
        Ok(world)
    }

    /// The ground.
    pub fn ground(&self) -> &Ground {
        &self.ground
    }

    /// A client with all rights.
    pub fn client(&self) -> Client {
        self.ground.client()
    }

    /// The operator's replicas, as the plan has them.
    pub fn replicas(&self) -> &[Replica] {
        &self.replicas
    }

    /// The model behind a profile of the plan.
    ///
    /// # Panics
    /// There is no such profile in the plan.
    pub fn model(&self, profile: &str) -> &ScriptedModel {
        self.models.get(profile).unwrap_or_else(|| panic!("the plan has no model for profile {profile}"))
    }

    /// Starts one more replica, of which nobody else knows.
    ///
    /// # Errors
    /// It doesn't become ready.
    pub async fn start(&self, mut settings: Settings) -> Result<Replica, Failure> {
        for (profile, what) in self.profiles.as_object().into_iter().flatten() {
            settings.config["agents"][profile] = what.clone();
        }
        Ok(Replica::new(settings.name.clone(), self.ground.operator(settings).await?))
    }

    /// Runs `test`; shows all that is known if it fails.
    async fn watched<F>(&'static self, space: Space, test: F)
    where
        F: AsyncFnOnce(Space) -> Outcome,
    {
        let outcome = AssertUnwindSafe(test(space.clone())).catch_unwind().await;
        let failure = match outcome {
            Ok(Ok(())) => self.trespasses().await,
            Ok(Err(error)) => Some(causes(&*error)),
            Err(panic) => Some(text(&*panic)),
        };
        if let Some(failure) = failure {
            panic!("{failure}\n\n{}", space.diagnosis().await);
        }
    }

    /// What the operators tried and were not allowed to: their rights are those that we ship.
    async fn trespasses(&self) -> Option<String> {
        let mut found = Vec::new();
        for replica in &self.replicas {
            found.extend(replica.trespasses().await.unwrap_or_else(|error| vec![error.to_string()]));
        }
        (!found.is_empty()).then(|| format!("the operator lacks rights:\n{}", found.join("\n")))
    }
}

/// Makes the image: the program under the name that the runner starts. kubectl comes to it when the ground is there.
fn shell_agent(directory: &Path, program: &str) -> Result<PathBuf, Failure> {
    let image = directory.join("shell-agent");
    fs::create_dir_all(&image)?;
    symlink(program, image.join("punching-fist-agent"))?;
    images::program(&image.join("ask-model"), ASK_MODEL)?;
    Ok(image)
}

fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked").to_owned()
}

/// Waits until `look` finds something, for at most [`wait::PATIENCE`].
///
/// # Errors
/// It is not found in time.
pub async fn until<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> Result<T, Failure> {
    Ok(wait::until(what, look).await?)
}
