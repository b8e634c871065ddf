//! What both kinds of points have in common.

/// Defines a point type, its encoding, and the arithmetic between points and scalars.
macro_rules! group {
    ($point:ident, $compressed:ident) => {
        /// An element: an integer modulo `l`.
        #[derive(Copy, Clone, Default)]
        pub struct $point(pub(crate) Scalar);

        /// An encoded element: 32 bytes, little-endian, canonical if below `l`.
        #[derive(Copy, Clone, PartialEq, Eq, Hash, Default)]
        pub struct $compressed(pub [u8; 32]);

        impl $compressed {
            /// The bytes.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
            /// The bytes.
            pub const fn to_bytes(&self) -> [u8; 32] {
                self.0
            }
            /// From exactly 32 bytes.
            pub fn from_slice(bytes: &[u8]) -> Result<Self, TryFromSliceError> {
                bytes.try_into().map(Self)
            }
            /// The element, if the encoding is canonical.
            pub fn decompress(&self) -> Option<$point> {
                // By a plain comparison: constant time would protect nothing here, and costs as much as all the rest.
                let reduced = Scalar::from_bytes_mod_order(self.0);
                (*reduced.as_bytes() == self.0).then_some($point(reduced))
            }
        }

        impl $point {
            /// The canonical encoding.
            pub fn compress(&self) -> $compressed {
                $compressed(self.0.to_bytes())
            }
            /// `scalar * 1`.
            pub fn mul_base(scalar: &Scalar) -> Self {
                Self(*scalar)
            }
            /// `a * point + b * 1`.
            pub fn vartime_double_scalar_mul_basepoint(a: &Scalar, point: &Self, b: &Scalar) -> Self {
                Self(a * point.0 + b)
            }
        }

        impl fmt::Debug for $point {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($point), "({:?})"), self.0.as_bytes())
            }
        }
        impl fmt::Debug for $compressed {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($compressed), "({:?})"), self.0)
            }
        }
        impl TryFrom<&[u8]> for $compressed {
            type Error = TryFromSliceError;
            fn try_from(bytes: &[u8]) -> Result<Self, TryFromSliceError> {
                Self::from_slice(bytes)
            }
        }

        impl Identity for $point {
            fn identity() -> Self {
                Self(Scalar::ZERO)
            }
        }
        impl Identity for $compressed {
            fn identity() -> Self {
                Self([0; 32])
            }
        }
        impl PartialEq for $point {
            fn eq(&self, other: &Self) -> bool {
                self.0.as_bytes() == other.0.as_bytes()
            }
        }
        impl Eq for $point {}
        impl ConstantTimeEq for $point {
            fn ct_eq(&self, other: &Self) -> Choice {
                Choice::from(u8::from(self == other))
            }
        }
        impl ConstantTimeEq for $compressed {
            fn ct_eq(&self, other: &Self) -> Choice {
                self.0.ct_eq(&other.0)
            }
        }
        impl ConditionallySelectable for $point {
            fn conditional_select(a: &Self, b: &Self, choice: Choice) -> Self {
                Self(Scalar::conditional_select(&a.0, &b.0, choice))
            }
        }
        impl Zeroize for $point {
            fn zeroize(&mut self) {
                self.0.zeroize();
            }
        }
        impl Zeroize for $compressed {
            fn zeroize(&mut self) {
                self.0.zeroize();
            }
        }

        crate::point::operator!(Add, add, $point, $point, $point, |a, b| $point(a.0 + b.0));
        crate::point::operator!(Sub, sub, $point, $point, $point, |a, b| $point(a.0 - b.0));
        crate::point::operator!(Mul, mul, $point, Scalar, $point, |a, b| $point(a.0 * b));
        crate::point::operator!(Mul, mul, Scalar, $point, $point, |a, b| $point(a * b.0));
        crate::point::assignment!(AddAssign, add_assign, $point, $point, |a, b| a.0 += b.0);
        crate::point::assignment!(SubAssign, sub_assign, $point, $point, |a, b| a.0 -= b.0);
        crate::point::assignment!(MulAssign, mul_assign, $point, Scalar, |a, b| a.0 *= b);

        impl Neg for $point {
            type Output = Self;
            fn neg(self) -> Self {
                Self(-self.0)
            }
        }
        impl Neg for &$point {
            type Output = $point;
            fn neg(self) -> $point {
                $point(-self.0)
            }
        }
        impl<T: Borrow<$point>> Sum<T> for $point {
            fn sum<I: Iterator<Item = T>>(points: I) -> Self {
                points.fold(Self::identity(), |sum, point| sum + point.borrow())
            }
        }

        impl MultiscalarMul for $point {
            type Point = Self;
            fn multiscalar_mul<I, J>(scalars: I, points: J) -> Self
            where
                I: IntoIterator,
                I::Item: Borrow<Scalar>,
                J: IntoIterator,
                J::Item: Borrow<Self>,
            {
                let terms = scalars.into_iter().zip(points);
                Self(terms.map(|(scalar, point)| scalar.borrow() * point.borrow().0).sum())
            }
        }
        impl VartimeMultiscalarMul for $point {
            type Point = Self;
            fn optional_multiscalar_mul<I, J>(scalars: I, points: J) -> Option<Self>
            where
                I: IntoIterator,
                I::Item: Borrow<Scalar>,
                J: IntoIterator<Item = Option<Self>>,
            {
                let mut sum = Scalar::ZERO;
                for (scalar, point) in scalars.into_iter().zip(points) {
                    sum += scalar.borrow() * point?.0;
                }
                Some(Self(sum))
            }
        }
    };
}

/// A binary operator for values and references.
macro_rules! operator {
    ($trait:ident, $method:ident, $left:ty, $right:ty, $out:ty, |$a:ident, $b:ident| $body:expr) => {
        impl $trait<&$right> for &$left {
            type Output = $out;
            fn $method(self, other: &$right) -> $out {
                let ($a, $b) = (self, other);
                $body
            }
        }
        impl $trait<$right> for &$left {
            type Output = $out;
            fn $method(self, other: $right) -> $out {
                $trait::$method(self, &other)
            }
        }
        impl $trait<&$right> for $left {
            type Output = $out;
            fn $method(self, other: &$right) -> $out {
                $trait::$method(&self, other)
            }
        }
        impl $trait<$right> for $left {
            type Output = $out;
            fn $method(self, other: $right) -> $out {
                $trait::$method(&self, &other)
            }
        }
    };
}

/// An assigning operator for values and references.
macro_rules! assignment {
    ($trait:ident, $method:ident, $left:ty, $right:ty, |$a:ident, $b:ident| $body:expr) => {
        impl $trait<&$right> for $left {
            fn $method(&mut self, other: &$right) {
                let ($a, $b) = (self, other);
                $body;
            }
        }
        impl $trait<$right> for $left {
            fn $method(&mut self, other: $right) {
                $trait::$method(self, &other);
            }
        }
    };
}

pub(crate) use {assignment, group, operator};
