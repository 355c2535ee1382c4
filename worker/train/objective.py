"""The paper's objective (arXiv 2512.19243), on log-probabilities that somebody else computed.

    J = (1/G) sum_i (1 / sum_t I_it) sum_t I_it [ min(rho A, clip(rho, 1 - eps, 1 + eps) A) - beta KL ]

I is 1 for tokens that the policy chose and 0 for those of the environment; rho = exp(new - old); A is the reward less
its group's mean, over its group's deviation; KL is Schulman's estimate exp(ref - new) - (ref - new) - 1.
"""

from worker.train.libraries import Tensor


def advantages(rewards_B_G: Tensor) -> Tensor:
    """By group of G rollouts of one task; 0 where all fared alike."""
    mean, deviation = rewards_B_G.mean(1, keepdim=True), rewards_B_G.std(1, keepdim=True)
    return (rewards_B_G - mean) / (deviation + 1e-4)


def objective(
    new_B_T: Tensor, old_B_T: Tensor, ref_B_T: Tensor, mask_B_T: Tensor, advantages_B: Tensor,
    clip: float, beta: float,
) -> Tensor:  # fmt: skip
    """J; its gradient is to be climbed. A rollout that chose nothing counts as 0."""
    mask, gain = mask_B_T.bool(), advantages_B[:, None]
    # Filled, not multiplied: whatever stands at a masked place, infinite too, is forgotten.
    log_rho, log_ref = (new_B_T - old_B_T).masked_fill(~mask, 0.0), (ref_B_T - new_B_T).masked_fill(~mask, 0.0)
    rho = log_rho.exp()
    clipped = (rho * gain).minimum(rho.clamp(1 - clip, 1 + clip) * gain)
    kl = log_ref.exp() - log_ref - 1
    of_rollout = (clipped - beta * kl).masked_fill(~mask, 0.0).sum(1) / mask.sum(1).clamp(min=1)
    return of_rollout.mean()
