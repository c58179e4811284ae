#include "host-tools/cli.hpp"

namespace cvmin {

int cmd_list(int, char **) {
    return report_error("list", Exit::system_failure, "not built yet");
}

} // namespace cvmin
