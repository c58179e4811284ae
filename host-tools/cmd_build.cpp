#include "host-tools/cli.hpp"

namespace cvmin {

int cmd_build(int, char **) {
    return report_error("build", Exit::system_failure, "not built yet");
}

} // namespace cvmin
