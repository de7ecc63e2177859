"""Predictors against brute force, scikit-learn and finite differences."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.optimize import approx_fprime, minimize
from scipy.stats import kendalltau, multivariate_normal, norm
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct
from sklearn.kernel_ridge import KernelRidge

from evomnas.algorithms.surrogate import predictors
from evomnas.algorithms.surrogate.predictors import Blend, GaussianProcess, Inputs, QuadraticRidge, RelatedRidge

SIZES = (3, 2, 4, 2)
KINDS = [GaussianProcess, QuadraticRidge]
RELATED = [(kind, 0) for kind in KINDS] + [(RelatedRidge, 2), (GaussianProcess, 1)]  # and numbers known from elsewhere


def inputs(count: int, seed: int = 0, numbers: int = 1, relatives: int = 0) -> tuple[Inputs, np.ndarray]:
    """Random networks with their choices, shape (count, genes)."""
    rng = np.random.default_rng(seed)
    choices = rng.integers(SIZES, size=(count, len(SIZES)))
    one_hot = np.concatenate([np.eye(size)[choices[:, gene]] for gene, size in enumerate(SIZES)], axis=1)
    gene = np.repeat(np.arange(len(SIZES)), SIZES)
    sizes = rng.normal(size=(count, numbers))
    return Inputs(one_hot, gene, sizes, rng.normal(size=(count, relatives)) if relatives else None), choices


def smooth(choices: np.ndarray) -> np.ndarray:
    """The third gene matters most, the last not at all, and the first two together."""
    return choices[:, 2] + 0.5 * (choices[:, 0] == choices[:, 1])


@pytest.mark.parametrize(("kind", "relatives"), RELATED)
def test_what_is_left_out_is_what_a_fit_without_it_says(kind, relatives):
    """Hyperparameters as they were fitted to all: only the network's value is missing."""
    known, choices = inputs(25, relatives=relatives)
    values = smooth(choices) + np.random.default_rng(1).normal(0, 0.2, 25)
    model = kind()
    model.fit(known, values)
    centre, scale = values.mean(), values.std()
    kernel = model._kernel(known)
    noise = (model._factor @ model._factor.T - kernel)[0, 0]
    for row in (0, 7, 24):
        rest = np.arange(25) != row
        dual = np.linalg.solve(kernel[np.ix_(rest, rest)] + noise * np.eye(24), (values[rest] - centre) / scale)
        assert model.left_out_means[row] == pytest.approx(centre + scale * kernel[row, rest] @ dual)


@pytest.mark.parametrize(("kind", "relatives"), RELATED)
def test_means_are_kernel_ridge_regression_s(kind, relatives):
    known, choices = inputs(30, relatives=relatives)
    others, _ = inputs(12, seed=2, relatives=relatives)
    values = smooth(choices) * 3.0 + 5
    model = kind()
    model.fit(known, values)
    kernel, across = model._kernel(known), model._kernel(others)
    noise = (model._factor @ model._factor.T - kernel)[0, 0]
    oracle = KernelRidge(alpha=noise, kernel="precomputed").fit(kernel, values - values.mean())
    mean, deviation = model.predict(others)
    assert mean == pytest.approx(oracle.predict(across) + values.mean(), abs=1e-6)
    assert (deviation > 0).all()


def test_the_gaussian_process_s_kernel_is_the_one_in_its_docstring():
    known, choices = inputs(20, numbers=2)
    model = GaussianProcess()
    model.fit(known, smooth(choices))
    *weights, _, variance = np.exp(model._tuned)
    for first, second in itertools.product(range(5), range(20)):
        distances = [*(choices[first] != choices[second]), *(known.sizes[first] - known.sizes[second]) ** 2]
        expected = variance * np.exp(-sum(w * d for w, d in zip(weights, distances, strict=True)))
        assert model._kernel(known)[first, second] == pytest.approx(expected)


def test_the_ridge_s_kernel_counts_choices_and_pairs_in_common():
    known, choices = inputs(12)
    single, pairs = predictors._shared(known, known)
    for first, second in itertools.product(range(12), repeat=2):
        same = [one == other for one, other in zip(choices[first], choices[second], strict=True)]
        both = [one and other for one, other in itertools.combinations(same, 2)]
        assert single[first, second] == pytest.approx(sum(same) / len(same))
        assert pairs[first, second] == pytest.approx(sum(both) / len(both))


def test_the_gradient_of_the_weights_is_that_of_finite_differences():
    known, choices = inputs(15, numbers=2)
    values = smooth(choices)
    distances = predictors._distances(known).reshape(6, -1)
    rng = np.random.default_rng(3)
    logs, middle, spread = rng.normal(-1, 0.5, 8), np.full(8, -1.0), np.full(8, 1.5)
    known_noise = rng.uniform(0, 0.3, 15)
    arguments = (distances, (values - values.mean()) / values.std(), known_noise, middle, spread)
    _, gradient = predictors._loss(logs, *arguments)
    numeric = approx_fprime(logs, lambda x: predictors._loss(x, *arguments)[0], 1e-6)
    assert gradient == pytest.approx(numeric, rel=1e-3, abs=1e-4)


def test_a_gene_that_does_not_matter_weighs_least_and_an_unknown_network_is_less_certain():
    known, choices = inputs(40)
    model = GaussianProcess()
    for _ in range(3):  # each fit goes on from the one before
        model.fit(known, smooth(choices))
    *matter, nothing = model._tuned[:4]
    assert nothing < min(matter) - 1
    _, deviation = model.predict(known)
    far = Inputs(np.roll(known.one_hot, 1, axis=0), known.gene, known.sizes + 5)
    assert model.predict(far)[1].min() > deviation.max()


def test_a_blend_leans_towards_the_predictor_that_ranks_what_it_was_not_shown():
    known, choices = inputs(60)
    values = smooth(choices)
    blend = Blend(GaussianProcess(), Backwards())
    blend.fit(known, values)
    alone = GaussianProcess()
    alone.fit(known, values)
    assert blend.tau == pytest.approx(predictors._tau(alone.left_out_means, values), abs=0.01)
    assert blend.predict(known)[0] == pytest.approx(alone.predict(known)[0], abs=0.01)


class Backwards:
    """Ranks everything the wrong way round."""

    def fit(self, networks: Inputs, values: np.ndarray, noise: np.ndarray | float = 0.0) -> None:
        self.left_out_means, self.true_means, self._genes = -values, values, networks.genes

    def predict(self, networks: Inputs) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros(len(networks)), np.ones(len(networks))


@pytest.mark.parametrize("kind", KINDS)
def test_equal_values_are_predicted_and_have_no_tau(kind):
    known, _ = inputs(10)
    blend = Blend(kind())
    blend.fit(known, np.full(10, 0.25))
    mean, deviation = blend.predict(known)
    assert mean == pytest.approx(np.full(10, 0.25))
    assert np.isfinite(deviation).all()
    assert blend.tau is None


# --- against likelihoods ---------------------------------------------------------------------------------


def prior_of(features: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights around one share each, noise around a hundredth of the variance, the variance around that of the values.

    Means and deviations of the logarithms, which are normal.
    """
    middle = np.array([-np.log(features)] * features + [np.log(0.01), 0.0])
    return middle, np.array([1.0] * features + [1.5, 1.0])


def minus_log_posterior(
    logs: np.ndarray, known: Inputs, choices: np.ndarray, standard: np.ndarray, known_noise: np.ndarray | float = 0.0
) -> float:
    """By scipy's densities, network by network."""
    *weights, noise, variance = np.exp(logs)
    count = len(standard)
    kernel = np.zeros((count, count))
    for first, second in itertools.product(range(count), repeat=2):
        distances = [*(choices[first] != choices[second]), *(known.sizes[first] - known.sizes[second]) ** 2]
        kernel[first, second] = variance * np.exp(-np.dot(weights, distances))
    middle, spread = prior_of(len(weights))
    noises = np.diag(np.broadcast_to(noise + known_noise, count))
    likelihood = multivariate_normal.logpdf(standard, np.zeros(count), kernel + noises)
    return -likelihood - norm.logpdf(logs, middle, spread).sum()


def test_the_loss_of_hyperparameters_is_minus_their_log_posterior_density():
    known, choices = inputs(12, numbers=2)
    values = smooth(choices)
    standard = (values - values.mean()) / values.std()
    distances = predictors._distances(known).reshape(6, -1)
    rng = np.random.default_rng(3)
    one, other = rng.normal(-1, 0.7, (2, 8))
    noise = rng.uniform(0, 0.5, 12)
    ours = [predictors._loss(logs, distances, standard, noise, *prior_of(6))[0] for logs in (one, other)]
    expected = [minus_log_posterior(logs, known, choices, standard, noise) for logs in (one, other)]
    assert ours[1] - ours[0] == pytest.approx(expected[1] - expected[0], abs=1e-5)  # they differ by a constant
    assert expected[0] - ours[0] == pytest.approx(6 * np.log(2 * np.pi) + norm.logpdf(0, 0, prior_of(6)[1]).sum() * -1)


def test_hyperparameters_beyond_what_a_computer_can_factorize_are_the_worst():
    known = Inputs(np.ones((3, 1)), np.zeros(1, dtype=np.int64), np.zeros((3, 0)))
    distances = predictors._distances(known).reshape(1, -1)
    logs = np.array([0.0, -60.0, 60.0])  # equal networks, no noise, and a variance that swallows the jitter
    loss, gradient = predictors._loss(logs, distances, np.array([1.0, 0.0, -1.0]), np.zeros(3), *prior_of(1))
    assert (loss, gradient.tolist()) == (1e10, [0.0, 0.0, 0.0])


def test_repeated_fits_end_at_the_likeliest_hyperparameters():
    """By another optimizer, from elsewhere."""
    known, choices = inputs(20)
    values = smooth(choices) + np.random.default_rng(1).normal(0, 0.3, 20)
    model = GaussianProcess()
    for _ in range(12):  # each fit goes on from the one before
        model.fit(known, values)
    standard = (values - values.mean()) / values.std()

    def loss(logs: np.ndarray) -> float:
        return minus_log_posterior(logs, known, choices, standard)

    best = minimize(loss, np.full(7, -1.0), method="BFGS", options={"gtol": 1e-3})
    assert model._tuned == pytest.approx(best.x, abs=0.02)


def test_a_fit_takes_eight_steps_and_no_hyperparameter_goes_beyond_six_deviations_of_its_prior(monkeypatch):
    calls = []

    def spy(*arguments, **options):
        result = minimize(*arguments, **options)
        calls.append((arguments[1], options["bounds"], result))
        return result

    monkeypatch.setattr(predictors, "minimize", spy)
    known, choices = inputs(30)
    model = GaussianProcess()
    for _ in range(2):
        model.fit(known, smooth(choices))
    middle, spread = prior_of(5)
    assert calls[0][0] == pytest.approx(middle)
    assert np.array_equal(calls[1][0], calls[0][2].x)
    assert [result.nit for *_, result in calls] == [8, 8]
    assert np.array(calls[0][1]) == pytest.approx(np.column_stack([middle - 6 * spread, middle + 6 * spread]))


SHARES, NOISES = (0.1, 0.3, 0.6, 0.85), (1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 10.0)


def likeliest_of_grid(known: Inputs, values: np.ndarray) -> tuple[float, float, float]:
    """By the density of the values, for every share and noise; the variance is their mean square in that shape."""
    standard = (values - values.mean()) / values.std()
    single, pairs = predictors._shared(known, known)
    count, trials = len(values), {}
    for share, noise in itertools.product(SHARES, NOISES):
        shape = (1 - share) * single + share * pairs + noise * np.eye(count)
        variance = standard @ np.linalg.solve(shape, standard) / count
        _, logdet = np.linalg.slogdet(variance * shape)
        square = standard @ np.linalg.solve(variance * shape, standard)
        trials[share, noise, variance] = -0.5 * (logdet + square + count * np.log(2 * np.pi))
    return max(trials, key=trials.get)


def test_the_ridge_s_hyperparameters_are_the_likeliest_of_the_grid():
    """Values are drawn with each share and noise in turn, so that each is the likeliest at times."""
    rng = np.random.default_rng(0)
    known, _ = inputs(40)
    single, pairs = predictors._shared(known, known)
    found = set()
    for share, noise in itertools.product(SHARES, NOISES):
        shape = (1 - share) * single + share * pairs + noise * np.eye(40)
        values = rng.multivariate_normal(np.zeros(40), shape)
        expected = likeliest_of_grid(known, values)
        model = QuadraticRidge()
        model.fit(known, values)
        kernel = model._kernel(known)
        assert kernel == pytest.approx(expected[2] * ((1 - expected[0]) * single + expected[0] * pairs))
        residual = model._factor @ model._factor.T - kernel
        assert residual == pytest.approx(expected[1] * expected[2] * np.eye(40), rel=1e-3, abs=1e-6)
        found.add(expected[:2])
    assert {share for share, _ in found} == set(SHARES)
    assert {noise for _, noise in found} == set(NOISES)


@pytest.mark.parametrize("noise", [0.001, 0.05, 0.5, 2.0])
def test_the_ridge_finds_the_noise_that_there_is(noise):
    """The chosen values rise with it."""
    known, choices = inputs(60)
    rough = smooth(choices) + np.random.default_rng(1).normal(0, noise, 60)
    model = QuadraticRidge()
    model.fit(known, rough)
    chosen = (model._factor @ model._factor.T - model._kernel(known))[0, 0] / model._variance
    assert (chosen < 0.02) == (noise < 0.2)


@pytest.mark.parametrize("kind", KINDS)
def test_deviations_are_those_of_the_normal_distribution_given_what_was_learnt(kind):
    known, choices = inputs(30)
    others, _ = inputs(12, seed=2)
    values = smooth(choices) * 3.0 + 5
    model = kind()
    model.fit(known, values)
    covariance, across = model._factor @ model._factor.T, model._kernel(others)
    own_noise = (covariance - model._kernel(known))[0, 0]  # by which a network deviates from what is learnt
    variance = model._variance - np.diag(across @ np.linalg.solve(covariance, across.T)) + own_noise
    assert model.predict(others)[1] == pytest.approx(values.std() * np.sqrt(np.maximum(variance, 1e-8)), rel=1e-4)


def test_hyperparameters_are_fitted_to_all_networks_or_to_128_that_are_spread_evenly():
    assert predictors._tuning_rows(5).tolist() == list(range(5))
    assert predictors._tuning_rows(128).tolist() == list(range(128))
    many = predictors._tuning_rows(1000)
    assert (len(many), many[0], many[-1]) == (128, 0, 999)
    assert set(np.diff(many)) == {7, 8}  # 999 / 127 = 7.87


class Says:
    """A predictor that was written down: what it says of networks left out, and of all others."""

    def __init__(self, left_out: list[float], mean: float, deviation: float) -> None:
        self.left_out_means, self.mean, self.deviation = np.array(left_out), mean, deviation
        self.true_means = self.left_out_means + 100.0

    def fit(self, networks: Inputs, values: np.ndarray, noise: np.ndarray | float = 0.0) -> None:
        self.noise = noise

    def predict(self, networks: Inputs) -> tuple[np.ndarray, np.ndarray]:
        return np.full(len(networks), self.mean), np.full(len(networks), self.deviation)


def test_a_blend_weighs_by_rank_correlations_and_adds_disagreement_to_the_deviations():
    """Of 45 pairs of ten values the first ranks all, the second all but one; the third says the same of all.

    tau is (right - wrong) / pairs: 1, 43/45 and, as there is none, 0. A difference of 0.02 is a factor of e.
    """
    values = np.arange(10.0)
    swapped = [1.0, 0.0, *range(2, 10)]
    parts = [Says(list(values), 1.0, 0.5), Says(swapped, 2.0, 0.25), Says([3.0] * 10, 9.0, 1.0)]
    blend = Blend(*parts)
    blend.fit(inputs(10)[0], values)
    shares = np.exp([0.0, -(2 / 45) / 0.02, -1 / 0.02])
    shares /= shares.sum()
    mean, deviation = blend.predict(inputs(4)[0])
    expected = shares @ [1.0, 2.0, 9.0]
    assert mean == pytest.approx(np.full(4, expected))
    variance = shares @ (np.array([0.5, 0.25, 1.0]) ** 2 + (np.array([1.0, 2.0, 9.0]) - expected) ** 2)
    assert deviation == pytest.approx(np.full(4, np.sqrt(variance)))
    assert blend.tau == pytest.approx(kendalltau(shares @ [part.left_out_means for part in parts], values).statistic)
    assert blend.true_means == pytest.approx(shares @ [part.left_out_means + 100 for part in parts])
    blend.fit(inputs(10)[0], values, noise := np.arange(10.0) / 10)
    assert all(part.noise is noise for part in parts)


def test_a_blend_of_the_wrong_way_round_says_so():
    values = np.arange(5.0)
    blend = Blend(Says([4.0, 3.0, 2.0, 1.0, 0.0], 0.0, 1.0))
    assert blend.tau is None
    blend.fit(inputs(5)[0], values)
    assert blend.tau == pytest.approx(-1.0)
    blend.fit(inputs(5)[0], np.ones(5))
    assert blend.tau is None


def test_a_space_of_one_gene_has_no_pairs():
    known = Inputs(np.eye(3), np.zeros(3, dtype=np.int64), np.zeros((3, 0)))
    single, pairs = predictors._shared(known, known)
    assert single.tolist() == np.eye(3).tolist()
    assert pairs.tolist() == np.zeros((3, 3)).tolist()


def test_inputs_are_taken_by_rows():
    known, _ = inputs(9, numbers=2)
    some = known[np.array([2, 5])]
    assert (len(known), len(some), some.genes) == (9, 2, 4)
    assert np.array_equal(some.one_hot, known.one_hot[[2, 5]])
    assert np.array_equal(some.sizes, known.sizes[[2, 5]])
    with pytest.raises(AttributeError, match="sizes"):
        known.sizes = known.sizes


# --- against scikit-learn ----------------------------------------------------------------------------------


def as_features(model: GaussianProcess | QuadraticRidge, known: Inputs, choices: np.ndarray) -> np.ndarray:
    """Numbers whose squared distances, or products, are those of the model's kernel, up to its variance."""
    if isinstance(model, GaussianProcess):
        weights = np.exp(model._tuned[:-2])
        columns = [np.eye(size)[choices[:, gene]] * np.sqrt(weights[gene] / 2) for gene, size in enumerate(SIZES)]
        return np.hstack([*columns, known.sizes * np.sqrt(weights[len(SIZES) :])])
    pairs = list(itertools.combinations(range(len(SIZES)), 2))
    single = [np.eye(size)[choices[:, gene]] for gene, size in enumerate(SIZES)]
    double = [np.eye(SIZES[a] * SIZES[b])[choices[:, a] * SIZES[b] + choices[:, b]] for a, b in pairs]
    shares = 1 - model._mix[1], model._mix[1]
    return np.hstack(
        [np.hstack(single) * np.sqrt(shares[0] / len(SIZES)), np.hstack(double) * np.sqrt(shares[1] / len(pairs))]
    )


def by_scikit_learn(model: GaussianProcess | QuadraticRidge, noise: np.ndarray) -> GaussianProcessRegressor:
    """Its Gaussian process with the model's hyperparameters, which it does not fit itself, and known noise."""
    if isinstance(model, GaussianProcess):
        kernel = ConstantKernel(model._variance) * RBF(length_scale=np.sqrt(0.5))
    else:
        kernel = ConstantKernel(model._variance) * DotProduct(sigma_0=1e-9)
    return GaussianProcessRegressor(kernel, alpha=noise, optimizer=None)


@pytest.mark.parametrize("known_noise", [0.0, 1.0])
@pytest.mark.parametrize("numbers", [0, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_posterior_and_left_out_means_are_scikit_learn_s(kind, numbers, known_noise):
    """It fits anew without each network in turn, where ours has a closed form. Each network has its own known noise."""
    known, choices = inputs(25, numbers=numbers)
    others, other_choices = inputs(12, seed=2, numbers=numbers)
    values = 5 + 3 * smooth(choices) + np.random.default_rng(1).normal(0, 0.5, 25)
    model = kind()
    given_noise = known_noise * np.random.default_rng(4).uniform(0, 1, 25)
    model.fit(known, values, given_noise)
    centre, scale = values.mean(), values.std()
    noise = np.diag(model._factor @ model._factor.T) - model._variance
    assert noise - given_noise / scale**2 == pytest.approx(np.full(25, noise[0] - given_noise[0] / scale**2))
    learnt, asked = (as_features(model, *some) for some in ((known, choices), (others, other_choices)))
    oracle = by_scikit_learn(model, noise).fit(learnt, (values - centre) / scale)
    expected, deviation = oracle.predict(asked, return_std=True)
    found = model.predict(others)
    assert found[0] == pytest.approx(centre + scale * expected, rel=1e-6)
    own_noise = noise[0] - given_noise[0] / scale**2  # its deviations are those of the function without noise
    assert found[1] == pytest.approx(scale * np.sqrt(deviation**2 + own_noise), rel=1e-3, abs=1e-4 * scale)
    for row in range(25):
        rest = np.arange(25) != row
        oracle = by_scikit_learn(model, noise[rest]).fit(learnt[rest], (values[rest] - centre) / scale)
        assert model.left_out_means[row] == pytest.approx(
            centre + scale * oracle.predict(learnt[row : row + 1])[0], rel=1e-6
        )


@pytest.mark.parametrize("kind", KINDS)
def test_without_the_known_noise_a_network_lies_where_the_joint_normal_distribution_says(kind):
    """Of all true values, given all that were seen: by conditioning the covariance of both, which is twice as large."""
    known, choices = inputs(20)
    noise = np.random.default_rng(5).uniform(0.0, 2.0, 20)
    values = 5 + 3 * smooth(choices) + np.random.default_rng(1).normal(0, np.sqrt(noise))
    model = kind()
    model.fit(known, values, noise)
    centre, scale = values.mean(), values.std()
    covariance = model._factor @ model._factor.T  # of what was seen, in standard units
    true_covariance = covariance - np.diag(noise) / scale**2
    joint = np.block([[true_covariance, true_covariance], [true_covariance, covariance]])
    precision = np.linalg.inv(joint)[:20, :20]  # of the true values, given those that were seen
    mean = -np.linalg.solve(precision, np.linalg.inv(joint)[:20, 20:] @ (values - centre) / scale)
    assert model.true_means == pytest.approx(centre + scale * mean, rel=1e-4)
    assert model.true_deviations == pytest.approx(scale * np.sqrt(np.diag(np.linalg.inv(precision))), rel=1e-4)
    assert (np.abs(model.true_means - values)[noise > 0.1] > 0).all()
    model.fit(known, values)
    assert model.true_means == pytest.approx(values)
    assert not model.true_deviations.any()


def test_the_ridge_takes_known_noise_off_what_it_finds_down_to_the_least_of_its_grid():
    known, choices = inputs(60)
    values = smooth(choices) + np.random.default_rng(1).normal(0, 0.5, 60)
    alone, told, all_of_it = QuadraticRidge(), QuadraticRidge(), QuadraticRidge()
    alone.fit(known, values)
    found = (alone._factor @ alone._factor.T - alone._kernel(known))[0, 0] * values.std() ** 2
    for model, noise, left in ((told, 0.4 * found, 0.6 * found), (all_of_it, 2 * found, 0.0)):
        model.fit(known, values, noise)
        least = 1e-4 * model._variance * values.std() ** 2
        rest = (model._factor @ model._factor.T - model._kernel(known))[0, 0] * values.std() ** 2 - noise
        assert rest == pytest.approx(max(left, least), rel=1e-3)
