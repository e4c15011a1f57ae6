//! The frame of reports as one HTML file that needs nothing else: styles inline, no link.

use std::fmt::{self, Write};

const STYLE: &str = "body{font:14px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#1c2530}\
h1{font-size:1.5rem;margin-bottom:.2rem}h2{font-size:1.1rem;margin-top:2rem}table{border-collapse:collapse}\
td,th{padding:.25rem .6rem;text-align:right;border-bottom:1px solid #dde3ea}th:first-child,td:first-child{text-align:left}\
.yes{color:#116329}.no{color:#b3261e;font-weight:600}.note{color:#5a6672}figure{display:inline-block;margin:.4rem;width:128px;\
vertical-align:top;font-size:12px;overflow-wrap:anywhere}figure img,figure div{width:128px;height:128px;background:#e8ecf1}";

/// Begins a page with its title as its heading.
pub(crate) fn begin(out: &mut String, title: &str) -> fmt::Result {
    let title = escape(title);
    write!(out, "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>")?;
    write!(out, "<style>{STYLE}</style></head><body><h1>{title}</h1>")
}

/// Ends it.
pub(crate) fn end(out: &mut String) -> fmt::Result {
    out.write_str("</body></html>\n")
}

/// Names come from files and folders of strangers.
pub(crate) fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
        out
    })
}
