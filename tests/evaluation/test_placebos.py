import numpy as np
import pytest

from pipeline.config.training import ArmConfig
from pipeline.evaluation.placebos import NEEDED, placebos, randomisation_p

BALANCED = ArmConfig(alpha=0.5, beta=1.0, gamma=1.5, renormalise=False)


def changed(**changes):
    return BALANCED.model_copy(update=changes)


def test_a_placebo_has_the_settings_of_its_arm_and_permuted_weights():
    arms = {
        "uniform": changed(alpha=1.0, gamma=1.0),
        "weighting": BALANCED,
        "strong": changed(gamma=1.75),
        "one": changed(permute=0),
        "two": changed(permute=1),
        "of_strong": changed(gamma=1.75, permute=1),
        "of_none": changed(gamma=9.0, permute=1),
        "scaled": changed(renormalise=True, permute=1),
    }
    assert placebos(arms) == {"weighting": ["one", "two"], "strong": ["of_strong"]}


@pytest.mark.parametrize(
    ("value", "others", "p"),
    [
        (10.0, [0.0] * 19, 1 / 20),
        (-10.0, [0.1, -0.1, 0.2], 1 / 4),
        (0.0, [1.0, -1.0], 1.0),
        (1.0, [1.0, 1.0], 1.0),
        (1.0, [-1.0], 1.0),
        # The mean of 2, 3, 0 and -1 is 1: distances 1, 2, 1 and 2.
        (3.0, [2.0, 0.0, -1.0], 2 / 4),
    ],
)
def test_p_is_the_share_that_is_as_far_from_the_common_mean(value, others, p):
    assert randomisation_p(value, others) == pytest.approx(p)


def test_nineteen_are_needed():
    assert NEEDED == 19
    assert randomisation_p(9.0, [0.0] * NEEDED) <= 0.05 < randomisation_p(9.0, [0.0] * (NEEDED - 1))


def test_an_arm_that_is_one_of_its_placebos_is_called_out_in_five_of_a_hundred():
    """Whatever the distribution, as they can be exchanged."""
    random = np.random.default_rng(0)
    p = [randomisation_p(values[0], values[1:]) for values in random.exponential(size=(4000, 20))]
    assert np.mean(np.array(p) <= 0.05) == pytest.approx(0.05, abs=0.011)
