//! The picture while it is being drawn: reflectance over the unit sheet, and the two ways marks are put on it.
//!
//! Drawing is done in sheet coordinates, in which every picture is [`SHEET`] wide, so that a scene looks the same at
//! every size.

/// Side of the sheet in its own units: pixels of a 256 x 256 picture.
pub(super) const SHEET: f32 = 256.0;

/// Reflectance of a square sheet, row by row; 0 is black, 1 is white.
#[derive(Debug, Clone)]
pub(super) struct Field {
    pub(super) size: usize,
    pub(super) values: Vec<f32>,
}

/// A place on the sheet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    pub(super) x: f32,
    pub(super) y: f32,
}

/// A pixel seen from the stroke it is near to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Near {
    /// Distance to the stroke's middle, positive on its left side, negative on its right.
    pub(super) distance: f32,
    /// Which point of the stroke is nearest, as a fraction of its length in points.
    pub(super) along: f32,
}

impl Field {
    /// A field of `size` x `size` pixels, each from its place on the sheet.
    pub(super) fn from_fn(size: usize, mut value: impl FnMut(Point) -> f32) -> Self {
        let step = SHEET / size as f32;
        let place = |index: usize| (index as f32 + 0.5) * step;
        let mut values = Vec::with_capacity(size * size);
        for row in 0..size {
            values.extend((0..size).map(|column| value(Point { x: place(column), y: place(row) })));
        }
        Self { size, values }
    }

    /// Replaces every value within `radius` of `centre` by what `paint` makes of its offset from there and itself.
    pub(super) fn spot(&mut self, centre: Point, radius: f32, paint: impl Fn(Point, f32) -> f32) {
        let step = SHEET / self.size as f32;
        let columns = self.reach(centre.x, radius);
        for row in self.reach(centre.y, radius) {
            let y = (row as f32 + 0.5) * step - centre.y;
            for column in columns.clone() {
                let x = (column as f32 + 0.5) * step - centre.x;
                let value = &mut self.values[row * self.size + column];
                *value = paint(Point { x, y }, *value);
            }
        }
    }

    /// Replaces every value within `reach` of the polyline by what `paint` makes of where it is and itself.
    pub(super) fn stroke(&mut self, points: &[Point], reach: f32, paint: impl Fn(Near, f32) -> f32) {
        let step = SHEET / self.size as f32;
        let far = Near { distance: f32::MAX, along: 0.0 };
        let mut near = vec![far; self.values.len()];
        for (index, pair) in points.windows(2).enumerate() {
            let (a, b) = (pair[0], pair[1]);
            let (dx, dy) = (b.x - a.x, b.y - a.y);
            let length2 = (dx * dx + dy * dy).max(1e-6);
            let (half_x, half_y) = (dx.abs() / 2.0, dy.abs() / 2.0);
            let columns = self.reach((a.x + b.x) / 2.0, half_x + reach);
            for row in self.reach((a.y + b.y) / 2.0, half_y + reach) {
                for column in columns.clone() {
                    let x = (column as f32 + 0.5) * step - a.x;
                    let y = (row as f32 + 0.5) * step - a.y;
                    let t = ((x * dx + y * dy) / length2).clamp(0.0, 1.0);
                    let (ox, oy) = (x - t * dx, y - t * dy);
                    let distance = (ox * ox + oy * oy).sqrt();
                    let best = &mut near[row * self.size + column];
                    if distance < best.distance.abs() {
                        let left = dx * y - dy * x >= 0.0;
                        best.distance = if left { distance } else { -distance };
                        best.along = (index as f32 + t) / (points.len() - 1) as f32;
                    }
                }
            }
        }
        for (value, near) in self.values.iter_mut().zip(&near) {
            if near.distance.abs() < reach {
                *value = paint(*near, *value);
            }
        }
    }

    /// Rows or columns whose middle may lie within `radius` of `centre`.
    fn reach(&self, centre: f32, radius: f32) -> std::ops::Range<usize> {
        let step = SHEET / self.size as f32;
        let first = ((centre - radius) / step).floor().max(0.0) as usize;
        let end = ((centre + radius) / step).ceil().max(0.0) as usize;
        first.min(self.size)..end.min(self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stroke_touches_only_what_is_within_its_reach() {
        let mut field = Field::from_fn(64, |_| 0.0);
        let line = [Point { x: 40.0, y: 128.0 }, Point { x: 200.0, y: 128.0 }];
        field.stroke(&line, 10.0, |near, _| near.distance);
        for row in 0..64 {
            let y = (row as f32 + 0.5) * 4.0;
            let expected = if (y - 128.0).abs() < 10.0 { y - 128.0 } else { 0.0 };
            assert_eq!(field.values[row * 64 + 32], expected, "row {row}");
        }
        assert_eq!(field.values[32 * 64 + 2], 0.0, "left of the line's end");
    }

    #[test]
    fn marks_off_the_sheet_are_cut_not_refused() {
        let mut field = Field::from_fn(64, |_| 0.5);
        let outside = Point { x: -20.0, y: 300.0 };
        field.spot(outside, 60.0, |_, value| value + 0.1);
        field.stroke(&[outside, Point { x: 500.0, y: -90.0 }], 3.0, |_, value| value);
        assert_eq!(field.values.len(), 64 * 64);
    }
}
