#include "host-tools/cli.hpp"

namespace cvmin {

int cmd_attest(int, char **) {
    return report_error("attest", Exit::system_failure, "not built yet");
}

} // namespace cvmin
