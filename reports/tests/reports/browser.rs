//! The page in a real browser: axe-core finds nothing to object to, and nothing is wider than a
//! phone.
//!
//! It needs Chromium on PATH (Debian: `chromium`), and for the first test axe-core (npm:
//! `axe-core`), whose `axe.min.js` the variable `PLUGPULL_AXE` names. Where they are missing the
//! tests are ignored.

use plugpull_testing::test;
use std::path::{Path, PathBuf};
use std::process::Command;

use plugpull_reports::{Report, html};
use serde_json::Value;

use crate::explored::{explored, live};
use crate::grown::grown;
use crate::made_up::report;

/// Chromium on PATH.
///
/// # Errors
/// There is none.
pub(crate) fn chromium() -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .flat_map(|directory| {
            ["chromium", "chromium-browser", "google-chrome"].map(|n| directory.join(n))
        })
        .find(|file| file.is_file())
        .ok_or_else(|| "there is no Chromium on PATH".to_owned())
}

/// axe-core's script.
///
/// # Errors
/// The variable does not name one.
pub(crate) fn axe() -> Result<String, String> {
    let path = std::env::var_os("PLUGPULL_AXE")
        .ok_or("PLUGPULL_AXE does not name axe-core's axe.min.js")?;
    std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
}

/// The document that the browser made of a page, when its scripts had run.
fn document(chromium: &Path, page: &Path, theme: &str) -> String {
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new(chromium)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--dump-dom",
        ])
        .args([
            "--allow-file-access-from-files",
            "--virtual-time-budget=60000",
        ])
        .arg(format!("--blink-settings=preferredColorScheme={theme}"))
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("file://{}", page.display()))
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What the page's own script put into the element of this id, as JSON.
fn answer(document: &str, id: &str) -> Value {
    let open = format!("<pre id=\"{id}\">");
    let text = document
        .split_once(&open)
        .and_then(|(_, rest)| rest.split_once("</pre>"))
        .unwrap_or_else(|| panic!("the browser's answer holds no {open}: {document:.2000}"))
        .0;
    let plain = text
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&");
    serde_json::from_str(&plain).unwrap()
}

/// What axe-core objects to in a page: rule and place.
fn violations(chromium: &Path, axe: &str, page: &str, theme: &str) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("page.html");
    let run = "for (const d of document.querySelectorAll('details')) d.open = true;\
               axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', \
               'best-practice']}).then(r => { const p = document.createElement('pre'); p.id = 'axe'; \
               p.textContent = JSON.stringify({passed: r.passes.length, violations: r.violations.map(v => \
               v.id + ': ' + v.nodes.slice(0, 5).map(n => n.target.join(' ') + ' ' + n.failureSummary).join(' | '))}); \
               document.body.append(p); });";
    let text = page.replace(
        "</body>",
        &format!("<script>{axe}</script><script>{run}</script></body>"),
    );
    std::fs::write(&path, text).unwrap();
    let answer = answer(&document(chromium, &path, theme), "axe");
    assert!(answer["passed"].as_u64().unwrap() > 10, "{answer}");
    let all = answer["violations"].as_array().unwrap();
    all.iter()
        .map(|v| v.as_str().unwrap().to_string())
        .collect()
}

const DARK: &str = "0";
const LIGHT: &str = "1";

fn pages() -> Vec<(&'static str, Report)> {
    let empty = Report {
        faults: vec![],
        trial_log: vec![].into(),
        ..report(0)
    };
    vec![
        ("nothing tried", empty),
        ("no finding", report(0)),
        ("run", report(12)),
        ("explored", explored(1)),
        ("live", live()),
        ("many", explored(9)),
        ("grown", grown(12_000, 7, 5)),
    ]
}

/// Two tests for the two themes, since each waits for a browser most of the time.
fn no_objection_in(theme: &str) {
    let (chromium, axe) = (chromium().unwrap(), axe().unwrap());
    for (name, report) in pages() {
        let page = html(&report).unwrap();
        let found = violations(&chromium, &axe, &page, theme);
        assert!(found.is_empty(), "{name}: {found:#?}");
    }
}

#[test(needs = "chromium axe")]
fn axe_has_no_objection_in_the_light_theme() {
    no_objection_in(LIGHT);
}

#[test(needs = "chromium axe")]
fn axe_has_no_objection_in_the_dark_theme() {
    no_objection_in(DARK);
}

#[test(needs = "chromium axe")]
fn axe_would_object_to_a_page_that_is_not_accessible() {
    let (chromium, axe) = (chromium().unwrap(), axe().unwrap());
    let page = html(&report(1)).unwrap();
    let worse = page
        .replace("<html lang=\"en\">", "<html>")
        .replace("--soft: #525b68", "--soft: #c9ccd1");
    let found = violations(&chromium, &axe, &worse, LIGHT).join("\n");
    assert!(found.contains("html-has-lang"), "{found}");
    assert!(found.contains("color-contrast"), "{found}");
}

/// Shows a page in a frame of a phone's width and measures it; with everything unfolded.
fn width_on_a_phone(chromium: &Path, page: &str) -> u64 {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("page.html"), page).unwrap();
    let path = directory.path().join("frame.html");
    let frame = "<!DOCTYPE html><body><iframe id=f width=360 height=800 style='border:0' src=page.html></iframe>\
        <script>f.onload = () => { const d = f.contentDocument; \
        for (const e of d.querySelectorAll('details')) e.open = true; \
        const p = document.createElement('pre'); p.id = 'width'; \
        p.textContent = d.documentElement.scrollWidth; document.body.append(p); }</script>";
    std::fs::write(&path, frame).unwrap();
    let answer = answer(&document(chromium, &path, LIGHT), "width");
    answer.as_u64().unwrap()
}

#[test(needs = "chromium")]
fn nothing_is_wider_than_a_phone() {
    let chromium = chromium().unwrap();
    for (name, report) in pages() {
        let page = html(&report).unwrap();
        assert_eq!(width_on_a_phone(&chromium, &page), 360, "{name}");
    }
    let wide = html(&report(1))
        .unwrap()
        .replace("</main>", "<p style='width: 500px'>wide</p></main>");
    assert!(
        width_on_a_phone(&chromium, &wide) > 360,
        "a wide page is seen"
    );
}

/// One can find one's way among many: a word leaves what has it, a link unfolds what it leads to and
/// puts it into view.
#[test(needs = "chromium")]
fn a_word_and_a_link_find_one_of_many() {
    let chromium = chromium().unwrap();
    let script = "<script>const field = document.querySelector('input[type=search]'); \
        const shown = () => [...document.querySelectorAll('.finding')].filter(e => !e.hidden).length; \
        const type = (word) => { field.value = word; field.dispatchEvent(new Event('input')); return shown(); }; \
        const one = type('JOURNALED@444'), none = type('no such word'), all = type(''); \
        location.hash = 'finding-18'; \
        addEventListener('hashchange', () => { const target = document.getElementById('finding-18').closest('.finding'); \
        const p = document.createElement('pre'); p.id = 'found'; p.textContent = JSON.stringify({one, none, all, \
        open: target.querySelector('details').open, top: Math.round(target.getBoundingClientRect().top), \
        tall: innerHeight}); document.body.append(p); });</script></body>";
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("page.html");
    let page = html(&explored(20)).unwrap();
    std::fs::write(&path, page.replace("</body>", script)).unwrap();
    let found = answer(&document(&chromium, &path, LIGHT), "found");
    assert_eq!(
        (&found["one"], &found["none"], &found["all"]),
        (&1.into(), &0.into(), &20.into()),
        "{found}"
    );
    assert_eq!(found["open"], true, "{found}");
    assert!(found["top"].as_i64() < found["tall"].as_i64(), "{found}");
}
