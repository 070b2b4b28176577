//! The trainer's loss curve: a table with a header line, drawn as an inline SVG.

use std::fmt::Write;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, anyhow};

/// So many points are drawn at most; each is the mean of the steps around it.
const POINTS: usize = 400;
const WIDTH: f64 = 1080.0;
const HEIGHT: f64 = 280.0;
/// Room for the labels: left, right, top, bottom.
const MARGIN: (f64, f64, f64, f64) = (52.0, 64.0, 14.0, 34.0);

/// A step and its loss.
pub type Point = (f64, f64);

/// A loss curve.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// Step and loss, in the order of the file; finite.
    pub points: Vec<Point>,
    /// The engine's epoch of the last step, when the file says.
    pub epoch: Option<f64>,
}

impl Curve {
    /// The curve in the tab-separated file `path`, whose columns `loss`, `step` and `epoch` are found by the names in
    /// its first line; without `step` its lines are the steps. `None` when there is no file, or no step in it.
    ///
    /// # Errors
    /// When the file cannot be read or has no column `loss`.
    pub fn read(path: &Path) -> anyhow::Result<Option<Self>> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        };
        let mut lines = text.lines();
        let Some(header) = lines.next() else { return Ok(None) };
        let column = |name: &str| header.split('\t').position(|c| c.trim().eq_ignore_ascii_case(name));
        let loss = column("loss").ok_or_else(|| anyhow!("{}: no column `loss`", path.display()))?;
        let (step, epoch) = (column("step"), column("epoch"));
        let mut curve = Curve { points: Vec::new(), epoch: None };
        // The trainer may be in the middle of the last line.
        for (number, line) in lines.enumerate() {
            let fields: Vec<&str> = line.split('\t').collect();
            let value = |at: usize| fields.get(at).and_then(|f| f.trim().parse::<f64>().ok());
            let x = step.map_or(Some(number as f64), value);
            if let (Some(x), Some(y)) = (x, value(loss))
                && x.is_finite()
                && y.is_finite()
            {
                curve.points.push((x, y));
                curve.epoch = epoch.and_then(value).or(curve.epoch);
            }
        }
        Ok((!curve.points.is_empty()).then_some(curve))
    }

    /// At most [`POINTS`] points, each the mean of its run of steps, and a steadier curve: the mean of those around.
    fn thinned(&self) -> (Vec<Point>, Vec<Point>) {
        let mean = |run: &[Point]| {
            let n = run.len() as f64;
            (run.iter().map(|p| p.0).sum::<f64>() / n, run.iter().map(|p| p.1).sum::<f64>() / n)
        };
        let thin: Vec<_> = self.points.chunks(self.points.len().div_ceil(POINTS).max(1)).map(mean).collect();
        let reach = thin.len() / 40;
        let around = |i: usize| &thin[i.saturating_sub(reach)..(i + reach + 1).min(thin.len())];
        let steady = (0..thin.len()).map(|i| (thin[i].0, mean(around(i)).1)).collect();
        (thin, steady)
    }

    /// The curve as an SVG element that takes its colours from the page.
    pub fn svg(&self) -> String {
        if self.points.is_empty() {
            return String::new();
        }
        let (thin, steady) = self.thinned();
        let (left, right, top, bottom) = MARGIN;
        let (first, last) = (self.points[0].0, self.points[self.points.len() - 1].0);
        let (x0, x1) = (first, last.max(first + 1.0));
        let high = thin.iter().map(|p| p.1).fold(0.0, f64::max);
        let low = thin.iter().map(|p| p.1).fold(0.0, f64::min);
        let ticks = ticks(low, if high > low { high } else { low + 1.0 });
        let (y0, y1) = (ticks[0], ticks[ticks.len() - 1]);
        let x = |step: f64| left + (step - x0) / (x1 - x0) * (WIDTH - left - right);
        let y = |loss: f64| HEIGHT - bottom - (loss - y0) / (y1 - y0) * (HEIGHT - top - bottom);
        let line = |points: &[Point]| {
            points.iter().map(|p| format!("{:.1},{:.1}", x(p.0), y(p.1))).collect::<Vec<_>>().join(" ")
        };
        let mut svg = format!(
            "<svg class=\"curve\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"Loss by training step\">"
        );
        // Writing to a string cannot fail.
        for tick in &ticks {
            let at = y(*tick);
            let _ = write!(
                svg,
                "<line class=\"grid\" x1=\"{left}\" x2=\"{}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>",
                WIDTH - right
            );
            let _ = write!(
                svg,
                "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                left - 8.0,
                at + 4.0,
                short(*tick)
            );
        }
        for step in [x0, (x0 + x1) / 2.0, x1] {
            let _ = write!(
                svg,
                "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">step {}</text>",
                x(step),
                HEIGHT - 10.0,
                short(step.round())
            );
        }
        let _ = write!(svg, "<polyline class=\"raw\" points=\"{}\"/>", line(&thin));
        let _ = write!(svg, "<polyline class=\"steady\" points=\"{}\"/>", line(&steady));
        let (_, last) = steady[steady.len() - 1];
        let _ = write!(
            svg,
            "<text class=\"last\" x=\"{:.1}\" y=\"{:.1}\">{last:.3}</text></svg>",
            x(x1) + 8.0,
            y(last) + 4.0
        );
        svg
    }
}

/// Round numbers from at most `low` to at least `high`, about five.
fn ticks(low: f64, high: f64) -> Vec<f64> {
    let rough = (high - low) / 4.0;
    let power = 10f64.powf(rough.log10().floor());
    let unit = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().find(|m| m * power >= rough).unwrap_or(10.0) * power;
    let (first, last) = ((low / unit).floor() as i64, (high / unit).ceil() as i64);
    (first..=last).map(|i| i as f64 * unit).collect()
}

/// `value` without needless digits.
fn short(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_by_name_and_broken_lines_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("loss.tsv");
        assert_eq!(Curve::read(&path).unwrap(), None);
        std::fs::write(
            &path,
            "epoch\tloss\tlr\tstep\n1\t0.5\t0.1\t10\n2\tnan\t0.1\t20\n2\t0.25\t0.1\t30\n3\t0.",
        )
        .unwrap();
        let curve = Curve::read(&path).unwrap().unwrap();
        assert_eq!(curve, Curve { points: vec![(10.0, 0.5), (30.0, 0.25)], epoch: Some(2.0) });
        std::fs::write(&path, "step\tcost\n1\t2\n").unwrap();
        assert!(Curve::read(&path).unwrap_err().to_string().contains("no column `loss`"));
    }

    #[test]
    fn ticks_are_round_and_hold_the_curve() {
        assert_eq!(
            ticks(0.0, 0.53).iter().map(|t| short(*t)).collect::<Vec<_>>(),
            ["0", "0.2", "0.4", "0.6"]
        );
        for (low, high) in [(0.0, 1e-9), (-3.0, 7.0), (0.0, 12345.0)] {
            let found = ticks(low, high);
            assert!(found[0] <= low && found[found.len() - 1] >= high && found.len() < 10, "{found:?}");
        }
    }

    #[test]
    fn a_long_curve_is_drawn_with_few_points() {
        let points = (0..10_000).map(|i| (f64::from(i), 1.0 / (1.0 + f64::from(i)))).collect();
        let svg = Curve { points, epoch: None }.svg();
        assert!(svg.len() < 20_000 && !svg.contains("NaN"), "{}", svg.len());
        let single = Curve { points: vec![(0.0, 0.0)], epoch: None }.svg();
        assert!(!single.contains("NaN") && !single.contains("inf"), "{single}");
    }
}
