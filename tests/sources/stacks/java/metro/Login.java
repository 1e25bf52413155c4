import java.net.Authenticator;
import java.net.PasswordAuthentication;

/** Credentials of the runtime of JAX-WS: what the JDK's connection uses, Basic or Digest. */
class Login {
    static void use(Object portal, String user, String password) {
        Authenticator.setDefault(new Authenticator() {
            @Override
            protected PasswordAuthentication getPasswordAuthentication() {
                return new PasswordAuthentication(user, password.toCharArray());
            }
        });
    }
}
