//! Bars: how many times faster, and where the target is.

use super::outcome::Recorded;

const WIDTH: f64 = 760.0;
/// Where bars begin and where the longest may end.
const BARS: (f64, f64) = (330.0, 690.0);
const ROW: f64 = 26.0;

/// The ratios as an SVG. The scale is logarithmic: 1 × is at the left end.
pub(super) fn svg(rows: &[Recorded]) -> String {
    let rows: Vec<&Recorded> = rows.iter().filter(|row| row.is_faster()).collect();
    let most = rows
        .iter()
        .map(|row| row.number("value").max(row.number("target")))
        .fold(10.0, f64::max);
    let place = |ratio: f64| BARS.0 + (BARS.1 - BARS.0) * ratio.max(1.0).ln() / most.ln();
    let height = ROW * (rows.len() as f64 + 1.5);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    for (number, row) in rows.iter().enumerate() {
        let (ratio, target) = (row.number("value"), row.number("target"));
        let top = ROW * (number as f64 + 0.5);
        let (middle, end, mark) = (top + 14.0, place(ratio), place(target));
        let colour = if row.met() { "#3b7d4f" } else { "#b5651d" };
        text += &format!(
            "<text x=\"{:.0}\" y=\"{middle:.0}\" text-anchor=\"end\">{}</text>\n\
             <rect x=\"{}\" y=\"{:.0}\" width=\"{:.1}\" height=\"16\" fill=\"{colour}\"/>\n\
             <line x1=\"{mark:.1}\" y1=\"{top:.0}\" x2=\"{mark:.1}\" y2=\"{:.0}\" stroke=\"black\"/>\n\
             <text x=\"{:.1}\" y=\"{middle:.0}\">{ratio:.1} ×</text>\n",
            BARS.0 - 8.0,
            escaped(row.text("what")),
            BARS.0,
            top + 2.0,
            (end - BARS.0).max(1.0),
            top + 20.0,
            end.max(mark) + 6.0,
        );
    }
    let last = ROW * (rows.len() as f64 + 1.0);
    text += &format!(
        "<text x=\"{}\" y=\"{last:.0}\" fill=\"#555\">times faster, on a logarithmic scale; the line is the target\
         </text>\n</svg>\n",
        BARS.0
    );
    text
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_ratio_has_a_bar_and_a_bound_has_none() {
        let row = |what: &str, faster: bool| {
            Recorded(json!({"what": what, "faster": faster, "value": 12.0, "target": 8.0, "met": true}))
        };
        let text = svg(&[row("a < b", true), row("bound", false)]);
        assert!(
            text.contains("a &lt; b") && text.contains("12.0 ×") && !text.contains("bound"),
            "{text}"
        );
    }
}
