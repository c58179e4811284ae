#include "host-tools/cli.hpp"

namespace cvmin {

int cmd_boot(int, char **) {
    return report_error("boot", Exit::system_failure, "not built yet");
}

} // namespace cvmin
