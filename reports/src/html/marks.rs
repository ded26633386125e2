//! The marks of the drawings: a shape for each kind of operation, a filling and a colour for what
//! became of it, so that neither is shown by colour alone.

use maud::{Markup, html};

use crate::evidence::{Fate, StepKind};

/// Half of a mark's width, in pixels.
pub(super) const HALF: f64 = 6.0;

/// A crash: a flash.
pub(super) const BOLT: &str = "M3 -14 L-8 3 H-1 L-4 15 L9 -3 H2 Z";

/// Fillings that the drawings of the page share, in a drawing of no size.
pub(super) fn patterns() -> Markup {
    html! {
        svg .defs width="0" height="0" aria-hidden="true" focusable="false" {
            defs {
                pattern #hatch width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)" {
                    rect .p-lost-bg width="6" height="6" {}
                    line .p-lost x1="0" y1="0" x2="0" y2="6" {}
                }
                pattern #zigzag width="8" height="6" patternUnits="userSpaceOnUse" {
                    rect .p-torn-bg width="8" height="6" {}
                    path .p-torn d="M0 5 L4 1 L8 5" {}
                }
            }
        }
    }
}

/// A mark around `x` and `y`, in pixels.
pub(super) fn mark(kind: StepKind, fate: Fate, x: f64, y: f64, tip: &str) -> Markup {
    let place = format!("translate({x:.1} {y:.1})");
    html! {
        g .m.(fate_class(fate)).(kind_class(kind)) transform=(place) {
            title { (tip) }
            @if fate == Fate::Torn {
                // The half that is there, and the jagged edge.
                path .shape d=(outline(kind)) {}
                path .half d="M-6 -6 H0 L-3 -2 L2 1 L-2 6 H-6 Z" {}
            } @else {
                path .shape d=(outline(kind)) {}
            }
            @if fate == Fate::Lost {
                path .cross d="M-4 -4 L4 4 M4 -4 L-4 4" {}
            }
        }
    }
}

/// The outline of a kind: a square for a write, a triangle for a name, a bar for a sync, a disc
/// for an ack, a flash for a crash, a rhomb for the rest.
fn outline(kind: StepKind) -> &'static str {
    match kind {
        StepKind::Write => "M-6 -6 H6 V6 H-6 Z",
        StepKind::Name => "M0 -7 L7 6 H-7 Z",
        StepKind::Sync => "M-2 -11 H2 V11 H-2 Z",
        StepKind::Ack => "M-6 0 a6 6 0 1 0 12 0 a6 6 0 1 0 -12 0 Z",
        StepKind::Other => "M0 -6 L6 0 L0 6 L-6 0 Z",
        StepKind::Crash => BOLT,
    }
}

fn fate_class(fate: Fate) -> &'static str {
    match fate {
        Fate::OnDisk => "kept",
        Fate::Lost => "lost",
        Fate::Torn => "torn",
        Fate::Missing => "missing",
        Fate::None => "plain",
    }
}

fn kind_class(kind: StepKind) -> &'static str {
    match kind {
        StepKind::Write => "write",
        StepKind::Name => "name",
        StepKind::Sync => "sync",
        StepKind::Ack => "ack",
        StepKind::Other => "other",
        StepKind::Crash => "crash",
    }
}

/// What the marks mean.
pub(super) fn legend() -> Markup {
    let entries = [
        (StepKind::Write, Fate::OnDisk, "on disk"),
        (StepKind::Write, Fate::Lost, "lost"),
        (StepKind::Write, Fate::Torn, "torn"),
        (StepKind::Name, Fate::OnDisk, "name"),
        (StepKind::Sync, Fate::None, "sync"),
        (StepKind::Sync, Fate::Missing, "missing sync"),
        (StepKind::Ack, Fate::None, "ack"),
        (StepKind::Other, Fate::OnDisk, "length, attributes"),
    ];
    html! {
        ul .legend aria-hidden="true" {
            @for (kind, fate, words) in entries {
                li {
                    svg width="18" height="24" { (mark(kind, fate, 9.0, 12.0, words)) }
                    (words)
                }
            }
            li { "an arrow: a rename" }
        }
    }
}
