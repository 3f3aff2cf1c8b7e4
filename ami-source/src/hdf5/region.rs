//! Boxes of elements in arrays of bytes: copying one, and the runs of bytes that it consists of. Pure.

/// Where a box lies in an array of some shape.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Lengths of the array's axes.
    pub shape: &'a [u64],
    /// First element of the box on each axis.
    pub start: &'a [u64],
}

/// Bytes of a box; None when they cannot be counted.
pub fn bytes_of(count: &[u64], element: usize) -> Option<usize> {
    let n = count.iter().try_fold(element as u64, |n, &d| n.checked_mul(d))?;
    usize::try_from(n).ok()
}

/// Visits the runs of bytes that are in one piece in both arrays: where each begins in the one and in
/// the other, and its length. Nothing is visited for boxes that do not lie inside.
///
/// # Errors
/// The visitor's own.
pub fn runs<E>(
    from: Place<'_>,
    to: Place<'_>,
    count: &[u64],
    element: usize,
    visit: &mut dyn FnMut(u64, u64, usize) -> Result<(), E>,
) -> Result<(), E> {
    let inside = |p: Place<'_>| {
        let axes = p.shape.iter().zip(p.start).zip(count);
        p.shape.len() == count.len()
            && axes.clone().count() == count.len()
            && axes.into_iter().all(|((n, s), c)| s.checked_add(*c).is_some_and(|end| end <= *n))
    };
    if !inside(from) || !inside(to) || count.contains(&0) {
        return Ok(());
    }
    // Axes from the last on that are whole in both make one run.
    let mut whole = count.len();
    let mut run = element as u64;
    while whole > 0 {
        run = run.saturating_mul(count[whole - 1]);
        whole -= 1;
        if count[whole] != from.shape[whole] || count[whole] != to.shape[whole] {
            break;
        }
    }
    let strides = |shape: &[u64]| {
        let mut strides = vec![element as u64; shape.len()];
        for axis in (1..shape.len()).rev() {
            strides[axis - 1] = strides[axis].saturating_mul(shape[axis]);
        }
        strides
    };
    let (a, b) = (strides(from.shape), strides(to.shape));
    let begin =
        |p: Place<'_>, s: &[u64]| -> u64 { p.start.iter().zip(s).map(|(x, y)| x * y).sum() };
    let (mut at_a, mut at_b) = (begin(from, &a), begin(to, &b));
    let mut index = vec![0u64; whole];
    loop {
        visit(at_a, at_b, run as usize)?;
        let mut axis = whole;
        loop {
            let Some(next) = axis.checked_sub(1) else { return Ok(()) };
            axis = next;
            index[axis] += 1;
            at_a += a[axis];
            at_b += b[axis];
            if index[axis] < count[axis] {
                break;
            }
            at_a -= a[axis] * count[axis];
            at_b -= b[axis] * count[axis];
            index[axis] = 0;
        }
    }
}

/// Copies a box from one array to another.
pub fn copy(
    (from, source): (Place<'_>, &[u8]),
    (to, target): (Place<'_>, &mut [u8]),
    count: &[u64],
    element: usize,
) {
    let done = runs::<()>(from, to, count, element, &mut |a, b, n| {
        let (a, b) = (a as usize, b as usize);
        if let (Some(source), Some(target)) = (source.get(a..a + n), target.get_mut(b..b + n)) {
            target.copy_from_slice(source);
        }
        Ok(())
    });
    debug_assert!(done.is_ok());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_goes_where_it_belongs() {
        let source: Vec<u8> = (0..24).collect();
        let mut target = [0u8; 12];
        let from = Place { shape: &[2, 3, 4], start: &[1, 1, 1] };
        let to = Place { shape: &[1, 4, 3], start: &[0, 2, 0] };
        copy((from, &source), (to, &mut target), &[1, 2, 3], 1);
        assert_eq!(target, [0, 0, 0, 0, 0, 0, 17, 18, 19, 21, 22, 23]);
        let mut all = Vec::new();
        let whole = Place { shape: &[2, 3, 4], start: &[0, 0, 0] };
        runs::<()>(whole, whole, &[2, 3, 4], 2, &mut |a, b, n| {
            all.push((a, b, n));
            Ok(())
        })
        .unwrap();
        assert_eq!(all, [(0, 0, 48)], "in one piece");
        copy((from, &source), (to, &mut target), &[2, 2, 3], 1);
        assert_eq!(target[0], 0, "outside: nothing");
    }
}
