//! What the runner in an agent's pod is told and what it says: variables, paths and words; events while it works, the
//! result in two forms, exit codes, redaction.
//!
//! The operator writes the former and the runner reads them. The runner writes the latter; the controller reads them, and
//! whoever shows a run. Nothing here does I/O.

mod causes;
mod cut;
mod decimal;
mod event;
mod exit;
mod gateway;
mod long_result;
pub mod pod;
mod redact;
mod short_result;
mod verdict;

pub use causes::causes;
pub use cut::{MARKER, cut, cut_json, cut_json_middle, json_len};
pub use decimal::{compare_decimals, is_decimal};
pub use event::{Event, Finish, LINE_MAX, Line, State, Stream};
pub use exit::{ExitCode, Reason};
pub use gateway::GatewayWord;
pub use long_result::{Encoded, LONG_MAX, LongResult, RESULT_LINES_MAX};
pub use redact::{REDACTED, Redactor, is_secret};
pub use short_result::{Disbelief, SHORT_MAX, ShortResult, VERSION};
pub use verdict::{Confidence, Usage, Verdict};
