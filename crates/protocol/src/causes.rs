//! An error in one line, with what caused it.

use std::error::Error;
use std::iter::successors;

/// What `error` says, then what each of its causes says.
pub fn causes(error: &dyn Error) -> String {
    successors(Some(error), |error| (*error).source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    #[derive(Debug)]
    struct Failure(&'static str, Option<Box<Failure>>);

    impl fmt::Display for Failure {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Failure {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|cause| cause as _)
        }
    }

    #[test]
    fn every_cause_is_said_in_its_order() {
        let cause = |text, cause| Some(Box::new(Failure(text, cause)));
        let error = Failure("no answer", cause("client error (Connect)", cause("refused", None)));
        assert_eq!(causes(&error), "no answer: client error (Connect): refused");
    }
}
