//! The conditions a stand-in works under, and the part of its interface that both share.

use crate::clock::Clock;
use crate::faults::{Faults, Gates};
use crate::ids::Ids;
use crate::recorder::Recorder;

#[derive(Debug)]
pub(crate) struct Conditions {
    pub(crate) clock: Clock,
    pub(crate) ids: Ids,
    pub(crate) recorder: Recorder,
    pub(crate) faults: Faults,
    pub(crate) gates: Gates,
}

impl Conditions {
    pub(crate) fn new() -> Self {
        Self {
            clock: Clock::default(),
            ids: Ids::new(),
            recorder: Recorder::default(),
            faults: Faults::default(),
            gates: Gates::default(),
        }
    }
}

/// Gives a stand-in's handle the methods every stand-in has. Inherent, so that a test needs no
/// trait in scope.
macro_rules! shared_interface {
    ($handle:ty) => {
        /// Names the address only: settings hold secrets.
        impl std::fmt::Debug for $handle {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let name = stringify!($handle);
                f.debug_struct(name)
                    .field("base", &self.base())
                    .finish_non_exhaustive()
            }
        }

        impl $handle {
            /// `http://127.0.0.1:PORT`, without a slash at the end.
            pub fn base(&self) -> &str {
                self.server.base()
            }

            /// Stops listening and waits until the requests under way are answered. Dropping the
            /// last handle stops it too, without waiting.
            pub async fn stop(&self) {
                self.server.stop().await;
            }

            /// The stand-in's time in Unix seconds.
            pub fn now(&self) -> i64 {
                self.shared.conditions.clock.now()
            }

            /// Stops the stand-in's clock at this second.
            pub fn set_now(&self, unix_seconds: i64) {
                self.shared.conditions.clock.set(unix_seconds);
            }

            /// Moves the stand-in's clock, which otherwise goes on as it did.
            pub fn advance(&self, seconds: i64) {
                self.shared.conditions.clock.advance(seconds);
            }

            /// Makes every identifier from here on repeatable.
            pub fn seed_ids(&self, seed: u64) {
                self.shared.conditions.ids.reseed(seed);
            }

            /// Every request so far, in the order of arrival, `/_control/` aside.
            pub fn requests(&self) -> Vec<$crate::Recorded> {
                self.shared.conditions.recorder.all()
            }

            /// Forgets the requests recorded so far.
            pub fn clear_requests(&self) {
                self.shared.conditions.recorder.clear();
            }

            /// Scripts a fault for one request: the next that matches and that no earlier fault has
            /// taken.
            pub fn fault(&self, on: $crate::Match, fault: impl Into<$crate::Fault>) {
                self.shared.conditions.faults.once(on, fault.into());
            }

            /// Scripts a fault for every matching request, until [`Self::clear_faults`]. Faults for
            /// one request come first.
            pub fn outage(&self, on: $crate::Match, fault: impl Into<$crate::Fault>) {
                self.shared.conditions.faults.outage(on, fault.into());
            }

            /// Takes back every fault not met yet and ends every outage.
            pub fn clear_faults(&self) {
                self.shared.conditions.faults.clear();
            }

            /// How many faults for one request have not been met yet.
            pub fn faults_pending(&self) -> usize {
                self.shared.conditions.faults.pending()
            }

            /// Carries a request out in process, with this fault or none, whatever is scripted. A
            /// client that gives up on it is played by spawning it, so that work begun goes on.
            pub async fn carry(
                &self,
                request: $crate::Recorded,
                fault: Option<$crate::Fault>,
            ) -> $crate::Carried {
                $crate::server::carry(std::sync::Arc::clone(&self.shared), request, fault).await
            }

            /// Holds matching requests at the given stage until the gate is opened.
            pub fn gate(&self, on: $crate::Match, stage: $crate::Stage) -> $crate::Gate {
                self.shared.conditions.gates.set(on, stage)
            }
        }
    };
}
pub(crate) use shared_interface;
