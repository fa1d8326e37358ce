//! One panel of a chart, drawn.

use plotters::backend::SVGBackend;
use plotters::chart::{ChartBuilder, ChartContext};
use plotters::coord::cartesian::Cartesian2d;
use plotters::element::{PathElement, Polygon, Rectangle};
use plotters::style::{Color, FontStyle, IntoTextStyle as _, TRANSPARENT};

use super::axis::Axis;
use super::chart::{Area, Item, Panel, dot, rgb, words};
use super::events::Events;
use super::style;

/// Above the axes: the panel's title and the name of the y axis.
const TITLES: i32 = 46;
/// Beside them: numbers, and room for half of the last one.
const LEFT: i32 = 58;
const RIGHT: i32 = 18;

type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<Axis, Axis>>;

impl Panel {
    /// Draws it into an area.
    pub(super) fn draw(&self, area: &Area<'_>) -> Result<(), String> {
        let (width, _) = area.dim_in_pixel();
        let x = |at: &f64| f64::from(LEFT) + self.x.share(*at) * f64::from(width as i32 - LEFT - RIGHT);
        let events = Events::new(self.events.iter().map(|(at, what)| (x(at), what.as_str())), f64::from(width));
        words(
            area,
            (4, 2),
            style::TEXT,
            style::INK,
            FontStyle::Bold,
            &style::fitted_title(&self.title, style::TEXT, f64::from(width)),
        )?;
        words(area, (4, 23), style::LABEL, style::QUIET, FontStyle::Normal, &self.y.name)?;
        let mut chart = self.axes(area, TITLES + events.height())?;
        self.mesh(&mut chart)?;
        for item in &self.items {
            self.item(&mut chart, area, item)?;
        }
        let (_, bottom) = self.pixel(&chart, area, (self.x.ends().0, self.y.ends().0));
        events.draw(area, TITLES, bottom)
    }

    fn axes<'a, 'b>(&self, area: &'a Area<'b>, top: i32) -> Result<Chart<'a, 'b>, String> {
        ChartBuilder::on(area)
            .margin_top(top)
            .margin_right(RIGHT)
            .margin_bottom(10)
            .x_label_area_size(40)
            .y_label_area_size(LEFT)
            .build_cartesian_2d(self.x.clone(), self.y.clone())
            .map_err(|error| error.to_string())
    }

    fn mesh(&self, chart: &mut Chart<'_, '_>) -> Result<(), String> {
        let (ink, quiet) = (rgb(style::INK), rgb(style::QUIET));
        let size = (style::FONT, style::LABEL * 1.24);
        let numbers = size.into_text_style(chart.plotting_area()).color(&ink);
        let name = size.into_text_style(chart.plotting_area()).color(&quiet);
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(rgb(style::GRID))
            .axis_style(rgb(style::QUIET))
            .label_style(numbers)
            .axis_desc_style(name)
            .x_desc(self.x.name.as_str())
            .draw()
            .map_err(|error| error.to_string())
    }

    fn item(&self, chart: &mut Chart<'_, '_>, area: &Area<'_>, item: &Item) -> Result<(), String> {
        let bottom = self.y.ends().0;
        let drawing = chart.plotting_area();
        let drawn = match item {
            Item::Line(colour, thick, points) => {
                drawing.draw(&PathElement::new(points.as_slice(), rgb(*colour).stroke_width(*thick)))
            }
            Item::Band(colour, low, high) => {
                let outline: Vec<_> = low.iter().chain(high.iter().rev()).copied().collect();
                drawing.draw(&Polygon::new(outline, rgb(*colour).mix(0.16).filled()))
            }
            Item::Bar(colour, (left, right), height) => {
                let corners = [(*left, bottom), (*right, *height)];
                drawing.draw(&Rectangle::new(corners, rgb(*colour).filled()))
            }
            Item::Dot(colour, filled, at) => return dot(area, self.pixel(chart, area, *at), *colour, *filled),
        };
        drawn.map_err(|error| error.to_string())
    }

    /// A place of the chart in pixels of the panel.
    fn pixel(&self, chart: &Chart<'_, '_>, area: &Area<'_>, place: (f64, f64)) -> (i32, i32) {
        let (x, y) = chart.plotting_area().map_coordinate(&place);
        let (left, top) = area.get_base_pixel();
        (x - left, y - top)
    }
}
