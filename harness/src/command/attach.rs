//! `plugpull attach`: a service that something else supervises.

use super::asked::outputs;
use super::interrupt::stop_on_signal;
use super::reporters::Reporters;
use super::wrong;
use crate::attach;
use crate::attach::args::AttachArgs;

/// Makes the rounds and reports them.
pub(crate) fn run(args: &AttachArgs) -> anyhow::Result<u8> {
    // From the beginning, so that no signal leaves anything behind.
    let stop = stop_on_signal();
    if args.outputs.keep.is_some() {
        return Err(wrong(
            "--keep is not for attach: the data stays where the service has it",
        ));
    }
    outputs(&args.outputs)?;
    let mut reporters = Reporters::new(&args.outputs);
    let Some((report, code)) = attach::run(args, &stop, |event| reporters.tell(event))? else {
        return Ok(crate::KEPT);
    };
    reporters.finish(report)?;
    Ok(code)
}
