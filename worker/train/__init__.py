"""Training of the policy that chooses from the menu: rollouts, supervised start, GRPO, evaluation, export."""
