//! The loss, the optimizer and the networks against plain references.

use kinetograph::train::loss;
use kinetograph::train::net::Network;
use kinetograph::train::settings::{Device, Net, Norm};
use kinetograph::train::sgd::Sgd;
use kinetograph::train::triplet::Triplet;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg32;
use tch::nn::OptimizerConfig;
use tch::{Kind as Dtype, Tensor};

use super::{crop, node};

/// The loss of plain rows, written out: the value and its gradient by the rows.
fn reference(rows: &[Vec<f64>], triplets: &[Triplet], margin: f64) -> (f64, Vec<Vec<f64>>) {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    let length = |a: usize| (dot(&rows[a], &rows[a]) + loss::EPSILON).sqrt();
    let cosine = |a: usize, b: usize| dot(&rows[a], &rows[b]) / (length(a) * length(b));
    let mut value = 0.0;
    let mut gradient = vec![vec![0.0; rows[0].len()]; rows.len()];
    let share = 1.0 / (2.0 * triplets.len() as f64);
    for t in triplets {
        for (from, to) in [(t.anchor, t.negative), (t.positive, t.negative)] {
            let term = cosine(from, to) - cosine(t.anchor, t.positive) + margin;
            if term <= 0.0 {
                continue;
            }
            value += share * term;
            for (x, y, sign) in [(from, to, 1.0), (t.anchor, t.positive, -1.0)] {
                for (x, y) in [(x, y), (y, x)] {
                    for i in 0..rows[0].len() {
                        let slope = rows[y][i] / (length(x) * length(y))
                            - cosine(x, y) * rows[x][i] / length(x).powi(2);
                        gradient[x][i] += share * sign * slope;
                    }
                }
            }
        }
    }
    (value, gradient)
}

#[test]
fn the_loss_and_its_gradient_are_the_plain_formula() {
    let mut rng = Pcg32::seed_from_u64(2);
    let (n, d) = (9, 7);
    let rows: Vec<Vec<f64>> =
        (0..n).map(|_| (0..d).map(|_| (rng.random::<f64>() - 0.4).max(0.0)).collect()).collect();
    let triplets: Vec<Triplet> = (0..20)
        .map(|_| {
            let (anchor, positive) = (rng.random_range(0..3), rng.random_range(3..6));
            Triplet { anchor, positive, negative: rng.random_range(6..n) }
        })
        .collect();
    let (value, gradient) = reference(&rows, &triplets, 0.5);
    assert!(value > 0.1);
    let features = Tensor::from_slice(&rows.concat()).view([n as i64, d as i64]).set_requires_grad(true);
    let ours = loss::hinge(&loss::distances(&features).unwrap(), &triplets, 0.5).unwrap();
    assert!((ours.double_value(&[]) - value).abs() < 1e-12);
    ours.backward();
    let grad: Vec<f64> = Vec::try_from(features.grad().view([-1])).unwrap();
    for (ours, plain) in grad.iter().zip(gradient.concat()) {
        assert!((ours - plain).abs() < 1e-12, "{ours} is not {plain}");
    }
    // A step along the gradient changes the value as the gradient says.
    let mut moved = rows.clone();
    moved[0].iter_mut().zip(&gradient[0]).for_each(|(x, g)| *x += 1e-6 * g);
    let expected = 1e-6 * gradient[0].iter().map(|g| g * g).sum::<f64>();
    assert!((reference(&moved, &triplets, 0.5).0 - value - expected).abs() < 1e-11);
}

#[test]
fn alike_features_lose_the_margin_and_dead_ones_no_gradient() {
    let features = Tensor::zeros([3, 4], (Dtype::Float, tch::Device::Cpu)).set_requires_grad(true);
    let triplet = [Triplet { anchor: 0, positive: 1, negative: 2 }];
    let ours = loss::hinge(&loss::distances(&features).unwrap(), &triplet, 0.5).unwrap();
    assert_eq!(ours.double_value(&[]), 0.5);
    ours.backward();
    assert_eq!(features.grad().isfinite().all().int64_value(&[]), 1);
}

#[test]
fn sgd_moves_weights_by_torchs_rule() {
    for (momentum, decay) in [(0.9, 5e-4), (0.0, 0.1), (0.5, 0.0)] {
        let start = Tensor::from_slice(&[0.3f32, -1.5, 2.0]);
        let ours = start.copy().set_requires_grad(true);
        let store = tch::nn::VarStore::new(tch::Device::Cpu);
        let theirs = store.root().var_copy("w", &start);
        let mut torch = tch::nn::sgd(momentum, 0.0, decay, false).build(&store, 0.1).unwrap();
        let mut sgd = Sgd::new(1, 0.1, momentum, decay);
        for _ in 0..6 {
            let objective = |w: &Tensor| (w * w * w).sum(Dtype::Float) * 0.1;
            torch.backward_step(&objective(&theirs));
            objective(&ours).backward();
            sgd.step(&[&ours]).unwrap();
        }
        let gap = (&ours - &theirs).abs().max().double_value(&[]);
        assert!(gap < 1e-6, "momentum {momentum}: {gap}");
    }
}

#[test]
fn networks_give_a_feature_a_view_and_depend_on_their_seed_alone() {
    let _no_grad = tch::no_grad_guard();
    let pixels: Vec<u8> = (0..2)
        .flat_map(|i| image::load_from_memory(&crop(node(i, 0))).unwrap().into_rgb8().into_raw())
        .collect();
    for (net, dim, layer, wide) in [
        (Net::Small, 256, "block3", 128 * 6 * 6),
        (Net::Resnet18, 1024, "layer4", 512 * 3 * 3),
        (Net::Vgg16, 1024, "pool5", 512 * 3 * 3),
    ] {
        for norm in [Norm::None, Norm::Group, Norm::Batch] {
            if net == Net::Vgg16 && norm != Norm::Group {
                continue; // 150 MB of weights each
            }
            let network = Network::new(net, norm, 4, tch::Device::Cpu).unwrap();
            let input = network.input(&pixels).unwrap();
            assert_eq!(input.size(), [2, 3, 96, 96]);
            let out = network.forward(&input, false).unwrap();
            assert_eq!(out.size(), [2, dim]);
            assert!(out.min().double_value(&[]) >= 0.0 && out.max().double_value(&[]) > 0.0);
            assert_eq!(network.forward_to(&input, layer).unwrap().size(), [2, wide]);
            assert!(network.check_layer(layer).is_ok());
            assert!(network.check_layer("pool9").unwrap_err().to_string().contains("pool9"));
            if net == Net::Small {
                let again =
                    Network::new(net, norm, 4, tch::Device::Cpu).unwrap().forward(&input, false).unwrap();
                let other =
                    Network::new(net, norm, 5, tch::Device::Cpu).unwrap().forward(&input, false).unwrap();
                assert!(out.equal(&again) && !out.equal(&other));
            }
        }
    }
}

#[test]
fn a_device_is_named_and_missing_cuda_is_said() {
    assert_eq!("cuda:2".parse(), Ok(Device::Cuda(2)));
    assert_eq!("cpu".parse(), Ok(Device::Cpu));
    assert!("gpu".parse::<Device>().unwrap_err().to_string().contains("cuda:0"));
    assert!("cuda:x".parse::<Device>().is_err());
    if let Err(error) = kinetograph::train::device::open(Device::Cuda(99)) {
        assert!(error.to_string().starts_with("cuda:99: "), "{error}");
    } else {
        panic!("no machine has a hundred devices");
    }
}
