#include "host-tools/cli.hpp"

namespace cvmin {

int cmd_console(int, char **) {
    return report_error("console", Exit::system_failure, "not built yet");
}

} // namespace cvmin
