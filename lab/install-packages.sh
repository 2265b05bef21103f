#!/bin/sh
# Installs packages into a root file system with the machine's own apt, and starts nothing in it. Runs inside
# `unshare --mount`, so that the mounts are gone when it ends, however it ends.
# usage: install-packages.sh ROOT APT_CONFIG PACKAGE…
set -eu
root=$1
export APT_CONFIG="$2" DEBIAN_FRONTEND=noninteractive
shift 2
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount --rbind /dev "$root/dev"
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
apt-get -qq update
apt-get -qq -y install "$@"
rm -f "$root/usr/sbin/policy-rc.d"
