//! Sizes as integer polynomials over named atoms, in normal form.
//!
//! In: constants, atoms and `+ - * /`. Out: a [`Poly`]; two sizes are equal when their normal
//! forms are. An exact division that cannot be carried out makes a quotient atom `q`, and the
//! normal form then rewrites `q * b` to `a`. All arithmetic is checked: `None` is an overflow.

use std::collections::BTreeMap;

/// An indeterminate of the polynomials of one [`Atoms`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Atom(u32);

/// A product of atoms, sorted; an atom appears once for each power.
type Monomial = Vec<Atom>;

/// A sum of monomials with coefficients that are not 0, sorted by monomial.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Poly {
    terms: Vec<(Monomial, i64)>,
}

/// Where an atom comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AtomKind {
    /// A configuration parameter, or a size of a function: decided when it is called.
    Config,
    /// A size of the data.
    Data,
    /// `num / den`, which is exact.
    Quotient { num: Poly, den: Poly },
}

#[derive(Debug, Clone)]
struct AtomInfo {
    name: Option<String>,
    value: Option<i64>,
    kind: AtomKind,
}

/// The atoms of one check or trace.
#[derive(Debug, Clone, Default)]
pub(crate) struct Atoms {
    infos: Vec<AtomInfo>,
    /// The atom of each quotient, by what is divided by what.
    quotients: BTreeMap<(Poly, Poly), Atom>,
}

/// Why a division gives no size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DivideFault {
    /// The divisor is 0.
    Zero,
    /// The numbers are known and one does not divide the other.
    Remainder {
        /// What is divided, common factors cancelled.
        num: (Poly, i64),
        /// What it is divided by.
        den: (Poly, i64),
    },
    /// It depends on the size of the data.
    Unproved,
    /// A number too large.
    Overflow,
}

impl Poly {
    /// A number.
    pub(crate) fn constant(n: i64) -> Poly {
        Poly { terms: if n == 0 { vec![] } else { vec![(vec![], n)] } }
    }

    /// An atom.
    pub(crate) fn atom(atom: Atom) -> Poly {
        Poly { terms: vec![(vec![atom], 1)] }
    }

    /// The number it is, without looking at the values of atoms.
    pub(crate) fn as_constant(&self) -> Option<i64> {
        match self.terms.as_slice() {
            [] => Some(0),
            [(monomial, n)] if monomial.is_empty() => Some(*n),
            _ => None,
        }
    }

    /// The atom it is.
    fn as_atom(&self) -> Option<Atom> {
        match self.terms.as_slice() {
            [(monomial, 1)] if monomial.len() == 1 => Some(monomial[0]),
            _ => None,
        }
    }

    fn add_term(&mut self, monomial: &[Atom], n: i64) -> Option<()> {
        match self.terms.binary_search_by(|(m, _)| m.as_slice().cmp(monomial)) {
            Ok(i) => {
                self.terms[i].1 = self.terms[i].1.checked_add(n)?;
                if self.terms[i].1 == 0 {
                    self.terms.remove(i);
                }
            }
            Err(i) if n != 0 => self.terms.insert(i, (monomial.to_vec(), n)),
            Err(_) => {}
        }
        Some(())
    }
}

impl Atoms {
    /// A new atom, different from all others, with its value where sizes are known.
    pub(crate) fn fresh(&mut self, name: &str, kind: AtomKind, value: Option<i64>) -> Poly {
        Poly::atom(self.push(AtomInfo { name: Some(name.into()), value, kind }))
    }

    fn push(&mut self, info: AtomInfo) -> Atom {
        self.infos.push(info);
        Atom(u32::try_from(self.infos.len() - 1).expect("fewer than 2^32 atoms"))
    }

    fn info(&self, atom: Atom) -> &AtomInfo {
        &self.infos[atom.0 as usize]
    }

    /// Gives a quotient without a name the name it was bound to, for messages.
    pub(crate) fn name_quotient(&mut self, size: &Poly, name: &str) {
        if let Some(atom) = size.as_atom() {
            let info = &mut self.infos[atom.0 as usize];
            if info.name.is_none() {
                info.name = Some(name.into());
            }
        }
    }

    /// `a + b`.
    pub(crate) fn add(&self, a: &Poly, b: &Poly) -> Option<Poly> {
        let mut sum = a.clone();
        for (monomial, n) in &b.terms {
            sum.add_term(monomial, *n)?;
        }
        self.normal(sum)
    }

    /// `a - b`.
    pub(crate) fn sub(&self, a: &Poly, b: &Poly) -> Option<Poly> {
        self.add(a, &self.mul(b, &Poly::constant(-1))?)
    }

    /// `a * b`.
    pub(crate) fn mul(&self, a: &Poly, b: &Poly) -> Option<Poly> {
        self.normal(product(a, b)?)
    }

    /// `a / b`, which must be exact; `data_ok` says whether sizes of the data may be assumed to
    /// divide.
    pub(crate) fn divide(
        &mut self,
        a: &Poly,
        b: &Poly,
        data_ok: bool,
    ) -> Result<Poly, DivideFault> {
        if b.terms.is_empty() {
            return Err(DivideFault::Zero);
        }
        let (num, den) = cancel(a, b).ok_or(DivideFault::Overflow)?;
        if den.as_constant() == Some(1) {
            return Ok(num);
        }
        if num == den {
            return Ok(Poly::constant(1));
        }
        let value = match (self.value(&num), self.value(&den)) {
            (Some(_), Some(0)) => return Err(DivideFault::Zero),
            (Some(n), Some(d)) if n.checked_rem(d) != Some(0) => {
                return Err(DivideFault::Remainder { num: (num, n), den: (den, d) });
            }
            (Some(n), Some(d)) => Some(n / d),
            (None, _) | (_, None) => None,
        };
        if let (Some(n), Some(_), Some(_)) = (value, num.as_constant(), den.as_constant()) {
            return Ok(Poly::constant(n));
        }
        if value.is_none() && !data_ok && (self.has_data(&num) || self.has_data(&den)) {
            return Err(DivideFault::Unproved);
        }
        let key = (num.clone(), den.clone());
        if let Some(&known) = self.quotients.get(&key) {
            return Ok(Poly::atom(known));
        }
        let kind = AtomKind::Quotient { num, den };
        let atom = self.push(AtomInfo { name: None, value, kind });
        self.quotients.insert(key, atom);
        Ok(Poly::atom(atom))
    }

    /// Whether a size depends on the data.
    fn has_data(&self, size: &Poly) -> bool {
        size.terms.iter().flat_map(|(m, _)| m).any(|&atom| match &self.info(atom).kind {
            AtomKind::Config => false,
            AtomKind::Data => true,
            AtomKind::Quotient { num, den } => self.has_data(num) || self.has_data(den),
        })
    }

    /// The number a size has, where all its atoms have values.
    pub(crate) fn value(&self, size: &Poly) -> Option<i64> {
        size.terms.iter().try_fold(0i64, |sum, (monomial, n)| {
            let term = monomial
                .iter()
                .try_fold(*n, |product, &atom| product.checked_mul(self.info(atom).value?))?;
            sum.checked_add(term)
        })
    }

    /// Rewrites `q * den` to `num` for each quotient atom until nothing changes.
    fn normal(&self, mut poly: Poly) -> Option<Poly> {
        while let Some((monomial, n, rest, num)) = self.rewrite(&poly) {
            poly.add_term(&monomial, n.checked_neg()?)?;
            for (m, k) in product(num, &rest)?.terms {
                poly.add_term(&m, k)?;
            }
        }
        Some(poly)
    }

    /// A term `n * monomial` that can be replaced by `rest * num`.
    fn rewrite(&self, poly: &Poly) -> Option<(Monomial, i64, Poly, &Poly)> {
        poly.terms.iter().find_map(|(monomial, n)| {
            monomial.iter().find_map(|&atom| {
                let AtomKind::Quotient { num, den } = &self.info(atom).kind else { return None };
                let [(den_monomial, den_n)] = den.terms.as_slice() else { return None };
                let rest = without(&without(monomial, &[atom])?, den_monomial)?;
                let times = n / den_n;
                let rest = Poly { terms: vec![(rest, times)] };
                (times != 0).then(|| (monomial.clone(), times * den_n, rest, num))
            })
        })
    }

    /// As a person would write it.
    pub(crate) fn show(&self, size: &Poly) -> String {
        let mut text = String::new();
        for (monomial, n) in size.terms.iter().rev() {
            let sign = match (text.is_empty(), *n < 0) {
                (true, false) => "",
                (true, true) => "-",
                (false, false) => " + ",
                (false, true) => " - ",
            };
            text += sign;
            let mut factors: Vec<String> = monomial.iter().map(|&a| self.show_atom(a)).collect();
            if n.unsigned_abs() != 1 || monomial.is_empty() {
                factors.insert(0, n.unsigned_abs().to_string());
            }
            text += &factors.join(" * ");
        }
        if text.is_empty() { "0".into() } else { text }
    }

    fn show_atom(&self, atom: Atom) -> String {
        let info = self.info(atom);
        if let Some(name) = &info.name {
            return name.clone();
        }
        let AtomKind::Quotient { num, den } = &info.kind else { return "?".into() };
        let part = |p: &Poly| {
            let text = self.show(p);
            if text.contains(' ') { format!("({text})") } else { text }
        };
        format!("{} / {}", part(num), part(den))
    }
}

/// The product without rewriting quotients.
fn product(a: &Poly, b: &Poly) -> Option<Poly> {
    let mut out = Poly::default();
    for (ma, na) in &a.terms {
        for (mb, nb) in &b.terms {
            let mut monomial: Monomial = ma.iter().chain(mb).copied().collect();
            monomial.sort_unstable();
            out.add_term(&monomial, na.checked_mul(*nb)?)?;
        }
    }
    Some(out)
}

/// Divides both by the largest monomial that divides each term of both.
fn cancel(a: &Poly, b: &Poly) -> Option<(Poly, Poly)> {
    let terms = || a.terms.iter().chain(&b.terms);
    let n = terms().fold(0u64, |g, (_, n)| gcd(g, n.unsigned_abs()));
    let n = i64::try_from(n).ok()?.max(1);
    let mut shared = b.terms.first().map(|(m, _)| m.clone()).unwrap_or_default();
    for (monomial, _) in terms() {
        let mut left = monomial.clone();
        shared.retain(|atom| match left.iter().position(|a| a == atom) {
            Some(i) => {
                left.remove(i);
                true
            }
            None => false,
        });
    }
    let over = |p: &Poly| {
        let mut out = Poly::default();
        for (monomial, k) in &p.terms {
            out.add_term(&without(monomial, &shared)?, k / n)?;
        }
        Some(out)
    };
    Some((over(a)?, over(b)?))
}

/// `monomial / by`, where that is a monomial.
fn without(monomial: &[Atom], by: &[Atom]) -> Option<Monomial> {
    let mut left = monomial.to_vec();
    for atom in by {
        let i = left.iter().position(|a| a == atom)?;
        left.remove(i);
    }
    Some(left)
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quotient_times_its_divisor_is_the_dividend() {
        let mut atoms = Atoms::default();
        let d = atoms.fresh("d", AtomKind::Config, None);
        let heads = atoms.fresh("heads", AtomKind::Config, None);
        let hd = atoms.divide(&d, &heads, false).unwrap();
        assert_eq!(atoms.show(&hd), "d / heads");
        atoms.name_quotient(&hd, "hd");
        let three = Poly::constant(3);
        let all = atoms.mul(&atoms.mul(&three, &heads).unwrap(), &hd).unwrap();
        assert_eq!(all, atoms.mul(&three, &d).unwrap());
        let again = atoms.divide(&all, &atoms.mul(&three, &heads).unwrap(), false).unwrap();
        assert_eq!(again, hd);
        assert_eq!(atoms.show(&again), "hd");
    }

    #[test]
    fn halves_add_up() {
        let mut atoms = Atoms::default();
        let d = atoms.fresh("d", AtomKind::Config, Some(6));
        let half = atoms.divide(&d, &Poly::constant(2), false).unwrap();
        assert_eq!(atoms.add(&half, &half), Some(d.clone()));
        assert_eq!(atoms.value(&half), Some(3));
        let by_four = atoms.divide(&d, &Poly::constant(4), false);
        let num = (d, 6);
        assert_eq!(by_four, Err(DivideFault::Remainder { num, den: (Poly::constant(4), 4) }));
    }

    #[test]
    fn overflow_is_seen() {
        let atoms = Atoms::default();
        let big = Poly::constant(i64::MAX);
        assert_eq!(atoms.mul(&big, &Poly::constant(2)), None);
        assert_eq!(atoms.add(&big, &big), None);
    }
}
