//! `plugpull attach`: a service that something else supervises.

use std::time::Instant;

use plugpull_reports::{EndReason, RunCommand, TargetInfo};

use super::asked::{baseline, outputs};
use super::interrupt::stop_on_signal;
use super::live_run::LiveRun;
use super::wrong;
use crate::attach_args::AttachArgs;
use plugpull_engine::attach;

/// Makes the rounds and reports them. What could not be put back makes a run that found nothing
/// fail.
pub(crate) fn run(args: &AttachArgs) -> anyhow::Result<u8> {
    // From the beginning, so that no signal leaves anything behind.
    let stop = stop_on_signal();
    if args.outputs.keep.is_some() {
        return Err(wrong(
            "--keep is not for attach: the data stays where the service has it",
        ));
    }
    outputs(&args.outputs)?;
    let options = args.options()?;
    let target = TargetInfo {
        name: attach::target_name(&options).to_owned(),
        ..TargetInfo::default()
    };
    let baseline = baseline(&args.outputs, &target)?;
    let mut live = LiveRun::new(RunCommand::Attach, &args.outputs, &stop, Instant::now());
    let Some(outcome) = attach::run(&options, stop.flag(), &mut live)? else {
        return Ok(crate::KEPT);
    };
    let reason = match outcome.interrupted {
        true => EndReason::Interrupted,
        false => EndReason::Complete,
    };
    let code = live.finish(reason, outcome.took, baseline.as_ref())?;
    Ok(match code {
        crate::KEPT if !outcome.all_put_back => crate::FAILED,
        code => code,
    })
}
