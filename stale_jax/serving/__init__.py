"""A server of live movies: streams over WebSockets, videos as jobs, and a page that shows them.

`launch` builds and runs it; `app` has the routes; `live` is the thread that ticks the stream batch, and
`engine` its device side; `session` is the connection of one client and `wire` its messages; `jobs` makes
videos in the background; `load` tests a server under load.
"""
