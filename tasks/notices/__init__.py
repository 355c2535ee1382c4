"""Tells owners what became of their batches and jobs: webhooks as Standard Webhooks has them, and e-mail."""
