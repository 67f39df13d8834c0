"""A store's files as a file system of the operating system, over the kernel's FUSE protocol.

What is where:

    mounting.py       makes and removes mounts: mount(2), or fusermount3 for ordinary users
    channel.py        requests from /dev/fuse and replies to it
    protocol.py       the messages' layouts
    server.py         hands each request to its handler; reader threads
    handlers/         one class for each group of requests
    state.py          which files are open, and what the kernel was told
    open_file.py      a file that is open, `write_session.py` what was written to it
    views.py          the newest snapshot, shared by requests
    invalidation.py   tells the kernel what others have changed
    mounted.py        puts them together
"""
