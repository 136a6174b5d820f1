//! Everything that runs for the demo, from the control plane to Alertmanager: put up in its order, taken down in reverse.

use std::error::Error;
use std::path::{Path, PathBuf};

use punching_fist_testkit::alertmanager::{self, Alertmanager};
use punching_fist_testkit::model::Model;
use punching_fist_testkit::operator::{self, Operator};
use punching_fist_testkit::{Error as GroundError, Ground};

use super::workload;

/// What is up by now. A start that is broken off leaves here what there was.
#[derive(Default)]
pub struct Stage {
    ground: Option<Ground>,
    operator: Option<Operator>,
    alertmanager: Option<Alertmanager>,
    deployed: bool,
}

impl Stage {
    /// Starts control plane, node and operator, with data and logs in `directory`.
    ///
    /// # Errors
    /// Something can't be started, or the existing cluster is none that the demo can use.
    pub async fn put_up(
        &mut self,
        directory: &Path,
        existing: bool,
        model: &Model,
    ) -> Result<(), Box<dyn Error>> {
        let image = workload::image(&directory.join("workload"))?;
        let builder = Ground::builder().directory(directory).existing(existing).agent(true);
        let builder = builder.model_key(model.key_of_agents()).image(workload::IMAGE, image);
        let ground = self.ground.insert(builder.start().await?);
        if ground.node_name().is_none() {
            return Err("the cluster of $KUBECONFIG is not on loopback, or has nodes of its own, which know \
                        nothing of the demo's images: use one without nodes, or leave --use-existing-cluster out"
                .into());
        }
        let settings = operator::Settings {
            config: model.configuration(),
            model_key: Some(model.key().to_owned()),
            ..operator::Settings::new("operator")
        };
        self.operator = Some(ground.operator(settings).await?);
        Ok(())
    }

    /// Deploys the broken workload and waits until it crashes in a loop.
    ///
    /// # Errors
    /// It doesn't.
    pub async fn break_something(&mut self) -> Result<workload::Broken, GroundError> {
        let client = self.ground()?.client();
        self.deployed = true;
        workload::deploy(&client).await?;
        workload::broken(&client).await
    }

    /// Starts an Alertmanager that posts to the operator.
    ///
    /// # Errors
    /// It can't be started.
    pub async fn start_alertmanager(&mut self) -> Result<&Alertmanager, GroundError> {
        let (ground, operator) = (self.ground()?, self.operator.as_ref().ok_or_else(not_up)?);
        let token = Some(operator.webhook_token().to_owned());
        let settings = alertmanager::Settings::new(operator.webhook_url(), token);
        let alertmanager = ground.alertmanager(&settings).await?;
        Ok(self.alertmanager.insert(alertmanager))
    }

    /// What everything stands on.
    ///
    /// # Errors
    /// It isn't up.
    pub fn ground(&self) -> Result<&Ground, GroundError> {
        self.ground.as_ref().ok_or_else(not_up)
    }

    /// Where the operator logs to.
    pub fn operator_log(&self) -> Option<PathBuf> {
        self.operator.as_ref().map(|operator| operator.process().log().to_owned())
    }

    /// Waits until the operator has ended by itself, which it isn't meant to. Says how.
    pub async fn operator_ended(&mut self) -> String {
        let Some(operator) = &mut self.operator else { return "there is no operator".to_owned() };
        let status = operator.process_mut().wait().await.map(|status| status.to_string());
        format!("the operator has ended ({})", status.unwrap_or_else(|error| error.to_string()))
    }

    /// Ends everything, the last first.
    ///
    /// # Errors
    /// The system can't tell how a process ended.
    pub async fn take_down(self) -> Result<(), GroundError> {
        if let Some(alertmanager) = self.alertmanager {
            alertmanager.stop().await?;
        }
        if let Some(operator) = self.operator {
            operator.stop().await?;
        }
        let Some(ground) = self.ground else { return Ok(()) };
        let stays = self.deployed && !ground.cluster().is_own();
        let removed = if stays { workload::remove(&ground.client()).await } else { Ok(()) };
        ground.stop().await.and(removed)
    }
}

fn not_up() -> GroundError {
    GroundError::Spawn { name: "the demo".to_owned(), source: std::io::Error::other("the ground is not up") }
}
