#include "agent-min/mounts.hpp"

#include "agent-min/fd.hpp"

#include <sys/stat.h>

namespace cvmin::agent {

Result<void> mount_all(std::span<const Mount> table) {
    for (const Mount &mount : table) {
        ::mkdir(mount.target, 0755); // there already in the image; what is wrong shows at mount
        if (::mount(mount.type, mount.target, mount.type, mount.flags, mount.options) != 0 && errno != EBUSY &&
            mount.fatal)
            return os_error(mount.target);
    }
    return {};
}

} // namespace cvmin::agent
