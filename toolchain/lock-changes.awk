# lock-changes.awk OLD NEW: how two locks differ, a line for each package, in words. Lines of a lock: sha256 size path
# package version architecture.
/^#/ { next }
{ key = $4 " " $6 }
FNR == NR && ARGV[1] != "/dev/null" { # of a first lock there is no old one
    version[key] = $5
    hash[key] = $1
    next
}
!(key in hash) { printf "  new       %-36s %s\n", $4, $5; next }
{ seen[key] = 1 }
hash[key] == $1 { next }
# an archive never does that; somebody else may
version[key] == $5 { printf "  REPLACED  %-36s %s: the same version with other bytes\n", $4, $5; next }
{ printf "  changed   %-36s %s -> %s\n", $4, version[key], $5 }
END {
    for (key in hash)
        if (!(key in seen)) {
            split(key, word, " ")
            printf "  gone      %-36s %s\n", word[1], version[key]
        }
}
