//! How panels tile the image that peakfinder8 searches.

/// A grid of panels of one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Height and width of a panel.
    pub panel: [usize; 2],
    /// Rows and columns of panels.
    pub grid: [usize; 2],
}

impl Layout {
    /// Height and width of the image.
    pub fn shape(&self) -> [usize; 2] {
        [self.panel[0] * self.grid[0], self.panel[1] * self.grid[1]]
    }

    /// Pixels of a panel.
    fn pixels(&self) -> usize {
        self.panel[0] * self.panel[1]
    }

    /// Where in the order of search a pixel may start a peak; None at the border of a panel.
    pub fn turn(&self, pixel: u32) -> Option<u32> {
        let (pixel, [height, width]) = (pixel as usize, self.panel);
        let columns = width * self.grid[1];
        let (row, column) = (pixel / columns, pixel % columns);
        let (y, x) = (row % height, column % width);
        let panel = row / height * self.grid[1] + column / width;
        let inside = y > 0 && y + 1 < height && x > 0 && x + 1 < width;
        inside.then_some((panel * self.pixels() + y * width + x) as u32)
    }

    /// The panel's first row and column in the image, and row and column in the panel.
    pub fn seed(&self, turn: u32) -> ([usize; 2], [i32; 2]) {
        let (panel, rest) = (turn as usize / self.pixels(), turn as usize % self.pixels());
        let origin = [panel / self.grid[1] * self.panel[0], panel % self.grid[1] * self.panel[1]];
        (origin, [(rest / self.panel[1]) as i32, (rest % self.panel[1]) as i32])
    }
}
