import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss

from pipeline.errors import WaznError
from pipeline.severities import SEVERITIES
from pipeline.severity.calibration import BOUNDS, fit_blend, fit_temperature, softmax


def loss(logits, labels, temperature):
    truth = [SEVERITIES.index(label) for label in labels]
    return log_loss(truth, softmax(np.asarray(logits), temperature), labels=[0, 1, 2])


def drawn(rows, sureness, seed=1):
    """Logits that are `sureness` times those which the labels are drawn from."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=(rows, 3))
    below = softmax(logits, 1.0).cumsum(axis=1)
    truth = (below < random.random((rows, 1))).sum(axis=1)
    return logits * sureness, [SEVERITIES[index] for index in truth]


@pytest.mark.parametrize("sureness", [0.25, 1.0, 4.0])
def test_the_temperature_undoes_how_sure_the_logits_are(sureness):
    found = fit_temperature(*drawn(20_000, sureness))
    assert found == pytest.approx(sureness, rel=0.06)


@pytest.mark.parametrize("rows", [12, 300])
def test_no_temperature_of_a_fine_grid_is_better(rows):
    logits, labels = drawn(rows, 3.0, seed=rows)
    best = min(loss(logits, labels, temperature) for temperature in np.geomspace(*BOUNDS, 200))
    assert loss(logits, labels, fit_temperature(logits, labels)) <= best + 1e-9


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(*[st.floats(-30, 30, width=32)] * 3, st.sampled_from(SEVERITIES)), min_size=1, max_size=12
    )
)
def test_it_is_within_bounds_and_never_worse_than_leaving_the_logits(rows):
    logits = np.array([row[:3] for row in rows], dtype="float32")
    labels = [row[3] for row in rows]
    found = fit_temperature(logits, labels)
    assert BOUNDS[0] <= found <= BOUNDS[1]
    # scikit-learn clips probabilities, so losses of very sure rows are computed here.
    assert exact_loss(logits, labels, found) <= exact_loss(logits, labels, 1.0) * (1 + 1e-12)


def test_logits_that_are_calibrated_already_do_not_get_worse_by_rounding():
    for seed in range(40):
        logits, labels = drawn(50, 1.0, seed)
        calibrated = logits / fit_temperature(logits, labels)
        found = fit_temperature(calibrated, labels)
        assert found == pytest.approx(1.0, abs=1e-4)
        assert exact_loss(calibrated, labels, found) <= exact_loss(calibrated, labels, 1.0) * (1 + 1e-12)


def exact_loss(logits, labels, temperature):
    scaled = np.asarray(logits, dtype="float64") / temperature
    own = scaled[np.arange(len(labels)), [SEVERITIES.index(label) for label in labels]]
    return (np.logaddexp.reduce(scaled - own[:, None], axis=1)).mean()


@pytest.mark.parametrize("rows", [0, 1, 5])
def test_rows_that_are_all_right_leave_the_temperature_at_1(rows):
    logits = np.tile([0.2, 0.1, 0.9], (rows, 1))
    assert fit_temperature(logits, ["critical"] * rows) == 1.0


def test_one_class_that_is_not_always_the_most_likely_has_a_temperature():
    logits = [[0.0, 1.0, 3.0], [0.0, 3.0, 2.0], [0.0, 1.0, 2.0]]
    assert fit_temperature(np.array(logits), ["critical"] * 3) not in (1.0, *BOUNDS)


def test_logits_worse_than_chance_become_almost_equal_probabilities():
    logits, labels = np.tile([4.0, 0.0, -4.0], (30, 1)), ["critical"] * 30
    found = fit_temperature(logits, labels)
    assert found == pytest.approx(BOUNDS[1], rel=1e-3)
    assert softmax(logits, found).max() < 0.42


def test_the_same_logits_give_the_same_temperature_to_the_last_bit():
    logits, labels = drawn(200, 2.0)
    assert len({fit_temperature(logits.copy(), list(labels)) for _ in range(3)}) == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_logits_of_a_training_that_diverged_end_in_one_sentence(bad):
    with pytest.raises(WaznError, match=r"not finite.*learning_rate"):
        fit_temperature(np.array([[0.0, bad, 0.0]]), ["neutral"])


# ---- fit_blend ----------------------------------------------------------------------------------


def two_models(rows, seed=1):
    """Logits of two models that know different things, and labels drawn from 1/2 of one plus the other."""
    random = np.random.default_rng(seed)
    logits, others = random.normal(size=(2, rows, 3)) * 1.5
    others -= np.logaddexp.reduce(others, axis=1, keepdims=True)
    below = softmax(logits / 2 + others, 1.0).cumsum(axis=1)
    truth = (below < random.random((rows, 1))).sum(axis=1)
    return logits, others, [SEVERITIES[index] for index in truth]


def blend_loss(logits, others, labels, temperature, weight):
    return exact_loss(logits / temperature + weight * others, labels, 1.0)


def test_a_planted_blend_is_found():
    temperature, weight = fit_blend(*two_models(20_000))
    assert temperature == pytest.approx(2.0, rel=0.06)
    assert weight == pytest.approx(1.0, rel=0.06)


@pytest.mark.parametrize("rows", [12, 300])
def test_no_blend_of_a_fine_grid_is_better(rows):
    given = two_models(rows, seed=rows)
    best = min(
        blend_loss(*given, temperature, weight)
        for temperature in np.geomspace(*BOUNDS, 60)
        for weight in np.linspace(0, 3, 60)
    )
    assert blend_loss(*given, *fit_blend(*given)) <= best + 1e-5


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(*[st.floats(-30, 30, width=32)] * 6, st.sampled_from(SEVERITIES)), min_size=1, max_size=12
    )
)
def test_a_blend_is_within_bounds_and_never_worse_than_the_temperature_alone(rows):
    logits, others = np.array([row[:3] for row in rows]), np.array([row[3:6] for row in rows])
    others = others - np.logaddexp.reduce(others, axis=1, keepdims=True)
    labels = [row[6] for row in rows]
    temperature, weight = fit_blend(logits, others, labels)
    assert BOUNDS[0] * (1 - 1e-9) <= temperature <= BOUNDS[1] * (1 + 1e-9)
    assert 0 <= weight <= 3
    alone = fit_temperature(logits, labels)
    assert blend_loss(logits, others, labels, temperature, weight) <= (
        blend_loss(logits, others, labels, alone, 0.0) * (1 + 1e-9) + 1e-12
    )


def test_a_second_model_that_says_nothing_of_its_own_changes_nothing():
    logits, labels = drawn(2000, 3.0)
    alone = fit_temperature(logits, labels)
    contrary = -logits - np.logaddexp.reduce(-logits, axis=1, keepdims=True)
    nothing = np.full((2000, 3), np.log(1 / 3))
    found = fit_blend(logits, nothing, labels)
    assert found[0] == pytest.approx(alone, rel=1e-3)
    temperature, weight = fit_blend(logits, contrary, labels)
    assert 1 / temperature - weight == pytest.approx(1 / alone, rel=1e-2)


def test_a_first_model_that_is_worse_than_chance_leaves_the_second_to_speak():
    logits, others, labels = two_models(5000)
    temperature, weight = fit_blend(-logits, others, labels)
    assert temperature == pytest.approx(BOUNDS[1])
    assert weight > 0.5


@pytest.mark.parametrize("right", ["both", "the first", "the second", "together"])
@pytest.mark.parametrize("rows", [1, 5, 40])
def test_rows_that_are_all_right_make_neither_model_surer_than_it_is(right, rows):
    """There log-loss falls until a bound stops it, and probabilities of 1 would be claimed."""
    labels = [SEVERITIES[number % 3] for number in range(rows)]
    logits, others = np.full((2, rows, 3), -1.0)
    logits[range(rows), np.arange(rows) % 3] = others[range(rows), np.arange(rows) % 3] = 0.5
    if right == "the first":
        others = others[:, [1, 2, 0]]
    elif right == "the second":
        logits = logits[:, [1, 2, 0]]
    elif right == "together":
        # Each is wrong where the other is surely right.
        wrong = np.arange(rows) % 2 == 0
        logits[wrong], others[wrong] = logits[wrong][:, [1, 2, 0]], 2 * others[wrong]
        logits[~wrong], others[~wrong] = 2 * logits[~wrong], others[~wrong][:, [1, 2, 0]]
    others -= np.logaddexp.reduce(others, axis=1, keepdims=True)
    temperature, weight = fit_blend(logits, others, labels)
    alone = fit_temperature(logits, labels)
    assert temperature >= alone * (1 - 1e-9)
    assert weight <= 1
    assert blend_loss(logits, others, labels, temperature, weight) <= (
        blend_loss(logits, others, labels, alone, 0.0) + 1e-12
    )


def test_without_rows_nothing_is_blended():
    assert fit_blend(np.zeros((0, 3)), np.zeros((0, 3)), []) == (1.0, 0.0)


def test_the_same_rows_give_the_same_blend_to_the_last_bit():
    given = two_models(200)
    assert len({fit_blend(*given) for _ in range(3)}) == 1


def test_a_blend_of_logits_of_a_training_that_diverged_ends_in_one_sentence():
    with pytest.raises(WaznError, match=r"not finite.*learning_rate"):
        fit_blend(np.array([[0.0, np.nan, 0.0]]), np.zeros((1, 3)), ["neutral"])


def test_softmax_sums_to_1_and_keeps_the_order_at_any_size_of_logits():
    logits = np.array([[1000.0, 999.0, -1000.0], [1e-3, 0.0, 2e-3]], dtype="float32")
    for temperature in (0.05, 1.0, 20.0):
        found = softmax(logits, temperature)
        assert found.dtype == np.float64
        assert found.sum(axis=1) == pytest.approx([1, 1])
        assert found.argmax(axis=1).tolist() == [0, 2]
    assert softmax(logits, 2.0)[0, 1] == pytest.approx(1 / (1 + np.exp(0.5)))
