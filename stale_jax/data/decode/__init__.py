"""From files to arrays: pictures, sound, and the tracks of other senses."""
