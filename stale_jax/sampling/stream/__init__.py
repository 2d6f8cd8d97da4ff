"""Streams: movies whose chunks leave one per tick, while their prompts change.

`batch` is the engine. For video-to-video, `similarity` skips frames that hardly differ from the last one, and
`noise` chooses how much noise a chunk of the source gets.
"""
