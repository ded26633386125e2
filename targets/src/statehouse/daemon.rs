//! Finding the daemon, starting it, and knowing when it is ready.

#[cfg(feature = "statehouse")]
pub(super) use running::start;

use super::Settings;
#[cfg(feature = "statehouse")]
use plugpull_driver::program;

/// Said where gRPC was left out of the build.
#[cfg(not(feature = "statehouse"))]
pub(super) const NOT_BUILT_IN: &str = "the statehouse target is not built in: build plugpull with \
     `cargo build --release --features statehouse`";

/// Why it cannot be run here; none when it can.
#[cfg(not(feature = "statehouse"))]
pub(super) fn absent(_settings: &Settings) -> Option<String> {
    Some(NOT_BUILT_IN.into())
}

/// Why it cannot be run here; none when it can.
#[cfg(feature = "statehouse")]
pub(super) fn absent(settings: &Settings) -> Option<String> {
    if settings.reference || program::find(&settings.bin).is_some() {
        return None;
    }
    let missing = program::missing(&settings.bin);
    Some(format!(
        "{missing}: install it with `cargo install statehouse-daemon --version 0.1.0 --locked` \
         (docs/targets/statehouse.md says what that needs), name it with --set bin=PATH, or test \
         the stand-in with --reference"
    ))
}

#[cfg(feature = "statehouse")]
mod running {
    use std::io::{self, ErrorKind};
    use std::net::TcpStream;
    use std::time::{Duration, Instant};

    use super::super::client::{Seen, StatehouseClient, harmless};
    use super::super::messages::{Empty, HealthAnswer, SERVICE};
    use super::super::{Settings, reference};
    use crate::grpc::Channel;
    use crate::{Client, ClientError, Host, Launch, Process, Program, Running, StartError};
    use plugpull_driver::program;

    /// How often a start is asked whether it is ready. The daemon says that it is before it takes
    /// connections, so only asking tells.
    const ASK_EVERY: Duration = Duration::from_millis(2);

    /// A daemon that answers.
    pub(crate) struct StatehouseRunning<'host> {
        host: &'host dyn Host,
        process: Box<dyn Process>,
        settings: Settings,
        seen: Seen,
    }

    /// Starts the daemon in the data folder and waits until `Health` answers.
    pub(crate) fn start<'host>(
        host: &'host dyn Host,
        settings: &Settings,
        seen: &Seen,
        deadline: Instant,
    ) -> Result<StatehouseRunning<'host>, StartError> {
        let began = Instant::now();
        let mut process = host.spawn(&launch(settings)?)?;
        loop {
            // It has ended, or it is time to ask again.
            if let Some(code) = process.wait(Instant::now() + ASK_EVERY)? {
                return Err(StartError::Exited {
                    code,
                    output: process.output(),
                });
            }
            if healthy(host, settings.port, deadline) {
                return Ok(StatehouseRunning {
                    host,
                    process,
                    settings: settings.clone(),
                    seen: seen.clone(),
                });
            }
            if Instant::now() >= deadline {
                return Err(StartError::Timeout {
                    waited: began.elapsed(),
                    output: process.output(),
                });
            }
        }
    }

    fn launch(settings: &Settings) -> io::Result<Launch> {
        let address = format!("127.0.0.1:{}", settings.port);
        if settings.reference {
            return Ok(reference::launch(&address, settings.defect));
        }
        let program = program::find(&settings.bin).ok_or_else(|| {
            io::Error::new(ErrorKind::NotFound, format!("{} is gone", settings.bin))
        })?;
        Ok(Launch {
            program: Program::Path(program),
            args: Vec::new(),
            env: vec![("STATEHOUSE_ADDR".into(), address)],
            cwd: None,
        })
    }

    fn open(stream: TcpStream, deadline: Instant) -> io::Result<Channel> {
        Channel::open(stream, SERVICE, deadline)
    }

    fn healthy(host: &dyn Host, port: u16, deadline: Instant) -> bool {
        let answer = host
            .connect(port)
            .and_then(|stream| open(stream, deadline))
            .map(|mut channel| channel.unary::<HealthAnswer>("Health", &Empty {}, deadline));
        matches!(answer, Ok(Ok(_)))
    }

    impl Running for StatehouseRunning<'_> {
        fn connect(&self, deadline: Instant) -> Result<Box<dyn Client>, ClientError> {
            let mut channel = self
                .host
                .connect(self.settings.port)
                .and_then(|stream| open(stream, deadline))
                .map_err(|e| ClientError::Gone(e.to_string()))?;
            channel
                .unary::<HealthAnswer>("Health", &Empty {}, deadline)
                .map_err(harmless)?;
            Ok(Box::new(StatehouseClient::new(
                channel,
                self.seen.clone(),
                self.settings.commit_errors_final,
                self.settings.versions,
            )))
        }

        fn process(&mut self) -> Option<&mut dyn Process> {
            Some(&mut *self.process)
        }
    }
}
