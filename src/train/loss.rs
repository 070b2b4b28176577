//! The triplet loss: cosine distance and a hinge in both directions.

use tch::{Kind, TchError, Tensor};

use super::triplet::Triplet;

/// Added to a squared length before its root, so that an all-zero feature (every ReLU off) has a gradient.
pub const EPSILON: f64 = 1e-12;

/// Cosine distances D = 1 - cos between all rows of `features` (n x d): n x n.
///
/// # Errors
/// libtorch's error.
pub fn distances(features: &Tensor) -> Result<Tensor, TchError> {
    let length = features
        .f_mul(features)?
        .f_sum_dim_intlist([1i64].as_slice(), true, None::<Kind>)?
        .f_add_scalar(EPSILON)?
        .f_sqrt()?;
    let unit = features.f_div(&length)?;
    unit.f_matmul(&unit.f_transpose(0, 1)?)?.f_neg()?.f_add_scalar(1.0)
}

/// Mean over the triplets and both directions of max(0, D(a,p) - D(a,n) + margin) and max(0, D(a,p) - D(p,n) + margin):
/// the margin at first, when all features are alike.
///
/// # Errors
/// libtorch's error.
pub fn hinge(distances: &Tensor, triplets: &[Triplet], margin: f64) -> Result<Tensor, TchError> {
    let n = distances.size()[0];
    let flat = distances.f_reshape([-1i64])?;
    let picked = |of: &dyn Fn(&Triplet) -> (usize, usize)| {
        let places: Vec<i64> = triplets.iter().map(of).map(|(a, b)| a as i64 * n + b as i64).collect();
        flat.f_index_select(0, &Tensor::f_from_slice(&places)?.f_to_device(flat.device())?)
    };
    let near = picked(&|t| (t.anchor, t.positive))?;
    let from_anchor = picked(&|t| (t.anchor, t.negative))?;
    let from_positive = picked(&|t| (t.positive, t.negative))?;
    let side = |far: &Tensor| near.f_sub(far)?.f_add_scalar(margin)?.f_relu()?.f_mean(None::<Kind>);
    side(&from_anchor)?.f_add(&side(&from_positive)?)?.f_mul_scalar(0.5)
}
