"""Files between local directories and stores: what the commands `cp`, `ls` and the like do."""
