# How git is run: apart from the user's own configuration, and with the fsync setting of git.toml.
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
export GIT_AUTHOR_NAME=plugpull GIT_AUTHOR_EMAIL=plugpull@example.org
export GIT_COMMITTER_NAME=plugpull GIT_COMMITTER_EMAIL=plugpull@example.org
# Nothing may go on behind the workload's back.
export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=gc.auto GIT_CONFIG_VALUE_0=0
if [ -n "$FSYNC" ]; then
    export GIT_CONFIG_COUNT=2 GIT_CONFIG_KEY_1=core.fsync GIT_CONFIG_VALUE_1="$FSYNC"
fi
