"""stale_jax: maximum-entropy video diffusion in JAX."""
