//! The stack of an operation, as reports have it.
// tidy: small because stacks and reports meet here and nowhere else

use plugpull_reports::{self as reports, CodePlace, MadeBy};
use plugpull_sandbox::{CodeKind, MadeHow, SourceCall, Stack, StackFrame, StackModule};

/// So many functions of a stack are in a report; the trace has all of them.
const FRAMES: usize = 48;

/// Who made the operation of this stack.
pub fn made_by(stack: &Stack<'_>) -> MadeBy {
    let call = stack.call().unwrap_or_default();
    let how = match stack.how {
        MadeHow::Called => String::new(),
        MadeHow::WrittenBack => format!("mapped store, written back by {call}"),
        MadeHow::OwnWriteBack => "mapped store, written back by plugpull itself".into(),
        MadeHow::Submitted => format!("submitted by {call}"),
    };
    let places = stack.frames().flat_map(places);
    MadeBy {
        call: call.into(),
        how,
        frames: places.take(FRAMES).collect(),
        note: stack.note().unwrap_or_default().into(),
    }
}

/// The functions at a frame: itself, and what is inlined there.
fn places<'a>(
    (frame, module): (&'a StackFrame, &'a StackModule),
) -> impl Iterator<Item = CodePlace> + 'a {
    let place = |call: &SourceCall| CodePlace {
        function: call.function.clone(),
        file: call.file.clone(),
        line: call.line,
        module: module.path.clone(),
        offset: frame.offset,
        build_id: module.build_id.clone(),
        kind: match module.kind {
            CodeKind::Native => reports::CodeKind::Native,
            CodeKind::Interpreter => reports::CodeKind::Interpreter,
            CodeKind::Python => reports::CodeKind::Python,
        },
    };
    let nameless = frame
        .calls
        .is_empty()
        .then(|| place(&SourceCall::default()));
    frame.calls.iter().map(place).chain(nameless)
}
