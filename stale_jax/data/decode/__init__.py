"""Decodes files to arrays: pictures, sound, and tracks of other senses."""
