//! The attribute `#[test]` of `plugpull-testing`: it registers a function as a test, with what the
//! test needs of the machine.

use proc_macro::{Delimiter, TokenStream, TokenTree};

/// Registers a function without arguments as a test of this program.
///
/// - `#[test]`: a test that runs on every machine.
/// - `#[test(needs = "fuse python3")]`: a test that is ignored where the machine lacks one of these
///   capabilities, and fails where `PLUGPULL_REQUIRE` promises it.
/// - `#[test(ignore = "takes a quarter of an hour")]`: a test that runs only when it is asked for,
///   with `--ignored`.
#[proc_macro_attribute]
pub fn test(arguments: TokenStream, item: TokenStream) -> TokenStream {
    match expand(arguments, item) {
        Ok(expanded) => expanded,
        Err(why) => format!("compile_error!({why:?});")
            .parse()
            .unwrap_or_default(),
    }
}

fn expand(arguments: TokenStream, item: TokenStream) -> Result<TokenStream, String> {
    let mut needs = "\"\"".to_owned();
    let mut ignore = "\"\"".to_owned();
    let arguments: Vec<TokenTree> = arguments.into_iter().collect();
    for argument in arguments.split(|token| token.to_string() == ",") {
        match argument {
            [] => {}
            [name, equals, value] if equals.to_string() == "=" => match name.to_string().as_str() {
                "needs" => needs = value.to_string(),
                "ignore" => ignore = value.to_string(),
                other => return Err(format!("#[test({other} = ...)] is not known")),
            },
            _ => return Err("#[test] takes needs = \"...\" and ignore = \"...\"".to_owned()),
        }
    }
    let name = function_name(item.clone())?;
    let registered = format!(
        "::plugpull_testing::inventory::submit! {{
            ::plugpull_testing::Test {{
                module: ::core::module_path!(),
                name: ::core::stringify!({name}),
                needs: {needs},
                ignore: {ignore},
                run: {name},
            }}
        }}"
    );
    let registered: TokenStream = registered
        .parse()
        .map_err(|error| format!("#[test]: {error}"))?;
    Ok([item, registered].into_iter().collect())
}

/// The name of a function that takes nothing and returns nothing.
fn function_name(item: TokenStream) -> Result<String, String> {
    let tokens: Vec<TokenTree> = item.into_iter().collect();
    let keyword = tokens.iter().position(|token| token.to_string() == "fn");
    let after = keyword.map(|at| &tokens[at + 1..]);
    match after {
        Some(
            [
                TokenTree::Ident(name),
                TokenTree::Group(list),
                TokenTree::Group(_body),
            ],
        ) if list.delimiter() == Delimiter::Parenthesis && list.stream().is_empty() => {
            Ok(name.to_string())
        }
        _ => Err("#[test] wants a function without arguments and without a result".to_owned()),
    }
}
