"""No program of a long clip holds an array of tokens x tokens, nor a captured constant above a megabyte.

A model as wide as configs/stale_1b.py, of three senses, with 32,760 and 75,600 tokens of sight: the gradient
of its loss, a sampling step, and a step of a causal rollout with a full KV cache. Programs are traced for the
backends `xla`, `splash` and `cudnn`, causal and not, in bfloat16 and float32, with padding, dropped tokens and
independent senses; those for cuDNN are also lowered for CUDA, and the training step for TPUs is compiled.
Value: the largest intermediate array of any program, in values per token and unit of width; bar 16, which is
far below the 16 (480p) and 37 (720p) of one row of pairs for one head. It holds if, in addition, no constant
exceeds a megabyte.
"""
