"""The noise schedule is the equations', and a perfect denoiser gives the data back."""

import pytest
import torch

from core.generators.diffusion import NoiseSchedule, TimeEmbedding
from core.progress import Stopped


@pytest.fixture
def schedule():
    return NoiseSchedule()


def test_alphas_cumprod_by_hand():
    small = NoiseSchedule(2, 0.1, 0.3)
    assert torch.allclose(small.alphas_cumprod, torch.tensor([1.0, 0.9, 0.9 * 0.7]))


def test_predicted_x0_undoes_the_noise(schedule, rng):
    x0, eps = torch.randn(5, 4, generator=rng), torch.randn(5, 4, generator=rng)
    t = torch.tensor([1, 10, 100, 500, 900])
    x = schedule.add_noise(x0, t, eps)
    assert torch.allclose(schedule.predict_x0(x, t, eps), x0, atol=2e-3)
    assert float(schedule.alphas_cumprod[1000]) < 1e-4  # nothing is left of x_0 at the end


def test_the_noise_follows_from_the_velocity(schedule, rng):
    x0, eps = torch.randn(5, 4, generator=rng), torch.randn(5, 4, generator=rng)
    t = torch.tensor([1, 10, 100, 500, 1000])
    x = schedule.add_noise(x0, t, eps)
    assert torch.allclose(schedule.predict_noise(x, t, schedule.velocity(x0, t, eps)), eps, atol=1e-5)


@pytest.mark.parametrize("steps, eta, least", [(5, 0.0, 0.65), (20, 0.0, 0.9), (1000, 1.0, 0.95)])
def test_a_perfect_denoiser_gives_the_data(schedule, rng, steps, eta, least):
    """For data that is one Gaussian the best denoiser is known; sampling by it gives that Gaussian."""
    mean, deviation = 2.0, 0.5

    def eps(x, t):
        bar = schedule.alphas_cumprod[t][:, None]
        spread = bar * deviation**2 + 1 - bar
        return (1 - bar).sqrt() * (x - bar.sqrt() * mean) / spread

    x = schedule.sample(eps, (4000, 1), rng, steps, eta)
    assert float(x.mean()) == pytest.approx(mean, abs=0.05)
    assert least * deviation < float(x.std()) < 1.05 * deviation


def test_a_seed_repeats_and_temperature_narrows(schedule):
    def sample(**options):
        rng = torch.Generator().manual_seed(4)
        return schedule.sample(lambda x, t: torch.zeros_like(x), (50, 3), rng, 5, **options)

    assert torch.equal(sample(), sample())
    assert torch.allclose(sample(temperature=0.5), 0.5 * sample(), rtol=1e-4)


def test_a_stop_ends_the_sampling_within_a_step(schedule, rng, recorder):
    steps = []
    with pytest.raises(Stopped):
        schedule.sample(lambda x, t: steps.append(int(t[0])) or x, (1, 1), rng, 10, progress=recorder(0.3))
    assert steps == [1000, 810, 640]


def test_steps_have_embeddings_of_their_own():
    found = TimeEmbedding(16)(torch.tensor([1, 2, 999]))
    assert found.shape == (3, 16)
    assert (found[0] - found[2]).abs().max() > 1e-3
