"""Streams: movies whose chunks leave one per tick, while their prompts change.

`batch` is the engine, `slots` moves single streams between batches, and `checkpoints.stream_file` saves them.
For video-to-video, `video` joins two parts: `similarity` skips frames that hardly differ from the last one,
and `noise` chooses how much noise a chunk of the source gets. `schedule` says how many streams a machine
serves. `block_pipeline` spreads the blocks over devices, `balance` says how many each gets.
"""
