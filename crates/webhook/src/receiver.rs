//! What a receiver is: a sender's own form in, the common notification out. Routing and writing are not its business.

use punching_fist_core::notification::Notification;
use serde::de::DeserializeOwned;

use crate::{Error, Intake, Report};

/// A notification as a receiver understood it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Received {
    /// What could be read.
    pub notification: Notification,
    /// Alerts among others that could not: each stands on its own.
    pub refused: Vec<RefusedAlert>,
}

/// An alert that can't be read.
#[derive(Clone, Debug, PartialEq)]
pub struct RefusedAlert {
    /// Its place, as a path into the body.
    pub place: String,
    /// What is wrong with it.
    pub message: String,
}

/// One kind of sender, in three steps.
pub trait AlertReceiver: Send + Sync + 'static {
    /// Its name: the end of its path and a label in metrics.
    const NAME: &'static str;

    /// A body as the sender writes it. What its type doesn't accept is a 400 that names the field.
    type Body: DeserializeOwned + Send;

    /// Whether the body as a whole is what this receiver takes.
    fn validate_alert(&self, body: &Self::Body) -> Result<(), Error>;

    /// The body in the common form.
    fn transform_alert(&self, body: Self::Body) -> Result<Received, Error>;

    /// Takes a body in. The same for all receivers.
    fn handle_alert(
        &self,
        body: Self::Body,
        intake: &Intake,
    ) -> impl Future<Output = Result<Report, Error>> + Send {
        async move {
            self.validate_alert(&body)?;
            let received = self.transform_alert(body)?;
            intake.take(Self::NAME, received).await
        }
    }
}
