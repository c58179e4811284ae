#include "host-tools/cli.hpp"

namespace cvmin {

int cmd_stop(int, char **) {
    return report_error("stop", Exit::system_failure, "not built yet");
}

} // namespace cvmin
